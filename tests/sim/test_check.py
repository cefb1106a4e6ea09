from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from apex_opt.sim.check import check
from apex_opt.sim.engine import EngineRules
from apex_opt.sim.load import Load
from apex_opt.sim.steps import StepTable

Flat = Callable[..., StepTable]
LOAD = Load(np.array([0, 5]), np.array([3, 4]), np.array([1, 2]))


def refuses(message: str) -> Any:
    return pytest.raises(ValueError, match=f"^{re.escape(message)}$")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"arrival_ns": np.array([5, 0])},
            "arrival_ns: must not be negative, not decrease, not reach 2^61",
        ),
        (
            {"arrival_ns": np.array([-1, 0])},
            "arrival_ns: must not be negative, not decrease, not reach 2^61",
        ),
        (
            {"arrival_ns": np.array([0, 2**61])},
            "arrival_ns: must not be negative, not decrease, not reach 2^61",
        ),
        ({"prompt_tokens": np.array([3, 0])}, "prompt_tokens: must be from 1 to 1073741823"),
        ({"output_tokens": np.array([2**30, 1])}, "output_tokens: must be from 1 to 1073741823"),
        ({"output_tokens": np.array([1])}, "output_tokens: must be (2,) int64, is (1,) int64"),
        ({"prompt_tokens": np.ones(2)}, "prompt_tokens: must be (2,) int64, is (2,) float64"),
        ({"concurrency": -1}, "concurrency: must not be negative, is -1"),
    ],
)
def test_an_unsound_load_is_refused(
    rules: EngineRules, flat: Flat, change: dict[str, Any], message: str
) -> None:
    with refuses(f"load.{message}"):
        check(replace(LOAD, **change), rules, flat())


def test_arrivals_that_a_client_decides_are_not_looked_at(rules: EngineRules, flat: Flat) -> None:
    check(replace(LOAD, arrival_ns=np.array([5, 0]), concurrency=1), rules, flat())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"max_seqs": 0}, "max_seqs: must be at least 1, is 0"),
        ({"block_tokens": 0}, "block_tokens: must be at least 1, is 0"),
        ({"blocks": -1}, "blocks: must not be negative, is -1"),
        ({"max_batch_tokens": 3}, "max_batch_tokens: must be at least max_seqs (4), is 3"),
    ],
)
def test_unsound_rules_are_refused(
    rules: EngineRules, flat: Flat, change: dict[str, Any], message: str
) -> None:
    with refuses(f"rules.{message}"):
        check(LOAD, replace(rules, **change), flat())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"mixed_ns": np.ones((1, 9), np.int64)},
            "steps.mixed_ns: must be (1, 65) int64 in C order, is (1, 9) int64",
        ),
        (
            {"rows_j": np.ones(65, np.int64)},
            "steps.rows_j: must be (65,) float64 in C order, is (65,) int64",
        ),
        ({"pair_fs": np.array([-1])}, "steps.pair_fs: must not be negative nor reach 2^53"),
        ({"decode_j": np.full(65, np.nan)}, "steps.decode_j: must not be negative nor reach 2^53"),
        ({"context_j": -1.0}, "steps.context_j: must not be negative, is -1.0"),
        ({"window_tokens": 0}, "steps.window_tokens: must be at least 1, is 0"),
        (
            {"decode_ns": np.zeros((1, 65), np.int64)},
            "steps: a step with tokens must take at least 1 ns on every stage",
        ),
        (
            {"hop_ns": np.ones((1, 65), np.int64)},
            "steps.hop_ns: the last stage sends nothing, its row must be zero",
        ),
        ({"row": np.array([0, 1])}, "steps.row: must be below 1, the rows that there are"),
        ({"row": np.array([-1])}, "steps.row: must not be negative nor reach 2^53"),
    ],
)
def test_an_unsound_table_is_refused(
    rules: EngineRules, flat: Flat, change: dict[str, Any], message: str
) -> None:
    with refuses(message):
        check(LOAD, rules, replace(flat(), **change))


def test_a_table_smaller_than_the_rules_is_refused(rules: EngineRules, flat: Flat) -> None:
    with refuses("steps: the table ends at 7 tokens, max_batch_tokens is 8"):
        check(LOAD, rules, flat(tokens=7))
    short = replace(flat(), rows_ns=np.zeros((1, 4), np.int64), rows_j=np.zeros(4))
    with refuses("steps: the table ends at 3 rows, max_seqs is 4"):
        check(LOAD, rules, short)


def test_attention_time_may_not_overflow(rules: EngineRules, flat: Flat) -> None:
    # 100 tokens a request: 200 cached in 50 blocks of 4, and 8 x 100 pairs in a step.
    load = Load(np.array([0]), np.array([60]), np.array([40]))
    most = (2**62 - 1) // 800
    check(load, rules, replace(flat(), pair_fs=np.array([most])))
    with refuses(
        "steps: attention over 200 cached tokens and 800 pairs may take "
        f"{800 * (most + 1)} fs, more than {2**62}"
    ):
        check(load, rules, replace(flat(), pair_fs=np.array([most + 1])))


def test_a_million_tokens_of_context_in_thousands_of_sequences_fit(
    rules: EngineRules, flat: Flat
) -> None:
    big = replace(rules, max_seqs=4096, max_batch_tokens=8192, max_model_tokens=10**6, blocks=2**28)
    load = Load(np.array([0]), np.array([999_000]), np.array([1000]))
    steps = replace(flat(tokens=8192), context_fs=np.array([10**8]), pair_fs=np.array([10**8]))
    check(load, big, steps)


def test_an_encoder_must_have_its_times_and_what_it_reads_is_no_prefix(
    rules: EngineRules, flat: Flat
) -> None:
    read = replace(LOAD, encoder_tokens=np.array([1, 0]))
    with refuses("steps.encoder_ns: must be there, since load.encoder_tokens is"):
        check(read, rules, flat())
    steps = replace(flat(), encoder_ns=np.zeros((1, 65), np.int64))
    check(read, rules, steps)
    with refuses("load.encoder_tokens: must be from 0 to 1073741822"):
        check(replace(LOAD, encoder_tokens=np.array([-1, 0])), rules, steps)
    with refuses("rules.cross_cache: what an encoder reads is no prefix to be cached"):
        check(read, replace(rules, cross_cache=True, prefix_caching=True), steps)
