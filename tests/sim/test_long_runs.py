from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apex_opt.sim.engine import EngineRules
from apex_opt.sim.layout import lay_out
from apex_opt.sim.load import Load, Prefixes
from apex_opt.sim.replica import play, rejects
from apex_opt.sim.steps import StepTable

Flat = Callable[..., StepTable]
HOUR_NS = 3_600 * 10**9


def day_and_night(hours: int) -> Load:
    """A request a second."""
    n = hours * 3600
    rng = np.random.default_rng(0)
    arrival = np.sort(rng.integers(0, hours * HOUR_NS, n, np.int64))
    return Load(arrival, rng.integers(1, 20, n, np.int64), rng.integers(1, 30, n, np.int64))


def test_a_run_of_two_days_keeps_no_more_than_its_requests_and_its_time_line(
    rules: EngineRules, flat: Flat
) -> None:
    load = day_and_night(48)
    slow = flat(decode=10_000_000, mixed=50_000_000)
    state: Any = lay_out(load, rules, slow, rejects(load, rules), rows=512)
    beside = sum(array.nbytes for name, array in state._asdict().items() if name != "requests")
    assert state.requests.nbytes == 64 * len(load)
    assert beside < 300_000
    log = play(load, rules, slow, rows=512)
    assert 48 * HOUR_NS * 0.99 < log.totals.end_ns < 49 * HOUR_NS
    assert log.line.tracks.shape == (512, 8)
    assert log.line.tick_ns * 256 < log.totals.end_ns <= log.line.tick_ns * 512
    assert log.line.tracks[:, 0].sum() == log.totals.steps
    assert log.line.tracks[:, 3].sum() == log.totals.rows == load.output_tokens.sum()
    assert log.line.tracks[:, 4].sum() == pytest.approx(log.totals.energy_j)


@given(blocks=st.integers(8, 60), more=st.integers(0, 60), n=st.integers(1, 40))
@settings(max_examples=60, deadline=None)
def test_more_blocks_never_lower_the_throughput_of_equal_requests_that_are_not_preempted(
    blocks: int, more: int, n: int
) -> None:
    one = np.ones(n, np.int64)
    load = Load(0 * one, 11 * one, 17 * one)
    rules = EngineRules(
        max_seqs=16,
        max_batch_tokens=64,
        max_model_tokens=64,
        block_tokens=4,
        blocks=blocks,
        reserve_output=True,
    )
    steps = affine(64, 16)
    few, many = play(load, rules, steps), play(load, replace(rules, blocks=blocks + more), steps)
    assert few.totals.preemptions == many.totals.preemptions == 0
    assert many.totals.end_ns <= few.totals.end_ns


def affine(tokens: int, rows: int) -> StepTable:
    """A step takes 100 ns and 1 ns a token."""
    line = 100 + np.arange(tokens + 1, dtype=np.int64).reshape(1, -1)
    none = np.zeros(1, np.int64)
    return StepTable(
        decode_ns=line,
        mixed_ns=line,
        rows_ns=np.zeros((1, rows + 1), np.int64),
        context_fs=none,
        window_fs=none,
        window_tokens=1,
        pair_fs=none,
        window_pair_fs=none,
        hop_ns=0 * line,
        decode_j=np.zeros(tokens + 1),
        mixed_j=np.zeros(tokens + 1),
        rows_j=np.zeros(rows + 1),
        context_j=0.0,
        window_j=0.0,
        pair_j=0.0,
        window_pair_j=0.0,
        idle_w=0.0,
    )


@given(groups=st.integers(1, 6), shared=st.integers(1, 40), blocks=st.integers(25, 400))
@settings(max_examples=40, deadline=None)
def test_what_is_computed_and_what_is_found_are_the_prompts(
    groups: int, shared: int, blocks: int
) -> None:
    rng = np.random.default_rng(groups)
    n = 60
    load = Load(
        np.arange(n) * 2_000,
        shared + rng.integers(1, 20, n, np.int64),
        np.ones(n, np.int64),
        prefix=rng.integers(0, groups, n, np.int64),
        prefixes=Prefixes(np.full(groups, -1), np.full(groups, shared)),
    )
    rules = EngineRules(
        max_seqs=4,
        max_batch_tokens=64,
        max_model_tokens=100,
        block_tokens=4,
        blocks=blocks,
        prefix_caching=True,
    )
    log = play(load, rules, affine(64, 4))
    assert log.totals.preemptions == 0
    assert log.totals.prompt_tokens + log.totals.hit_tokens == load.prompt_tokens.sum()
    assert log.totals.hit_tokens <= (n - 1) * (shared // 4) * 4
    if blocks == 400 and groups == 1:
        assert log.totals.hit_tokens == (n - 1) * (shared // 4) * 4
