"""What the twin's encoder reads, worked out by hand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from apex_opt.sim.engine import EngineRules
from apex_opt.sim.load import Load
from apex_opt.sim.steps import StepTable
from tests.sim.by_hand import column, load, steps_of
from tests.sim.twin import Twin

Flat = Callable[..., StepTable]


def reading(*requests: tuple[int, int, int], read: tuple[int, ...], **more: Any) -> Load:
    """Requests for which an encoder reads so many tokens."""
    return load(*requests, encoder_tokens=column(*read), **more)


def encoder(flat: Flat, each: int = 7, tokens: int = 64) -> StepTable:
    """A table in which the encoder takes `each` ns a token, and 1 ns for ten pairs."""
    ns = each * np.arange(tokens + 1, dtype=np.int64)[None]
    joules = 2.0 * np.arange(tokens + 1)
    return replace(
        flat(tokens=tokens), encoder_ns=ns, encoder_j=joules, encoder_pair_fs=column(100_000)
    )


def test_the_encoder_takes_its_time_in_the_step_of_the_admission(
    rules: EngineRules, flat: Flat
) -> None:
    twin = Twin(reading((0, 4, 3), read=(5,)), rules, encoder(flat)).play()
    # 100 for the prompt, 35 for 5 tokens, 2 for 25 pairs; then 10 a step.
    assert twin.requests[0].times == [137, 147, 157]
    assert [batch.context for batch in twin.flown] == [0, 5, 6]


def test_what_stays_of_it_takes_blocks_and_is_read_in_every_step(
    rules: EngineRules, flat: Flat
) -> None:
    rules = replace(rules, cross_cache=True)
    twin = Twin(reading((0, 4, 3), read=(5,)), rules, encoder(flat)).play()
    assert [batch.context for batch in twin.flown] == [0, 10, 11]
    # Two blocks of 5 tokens beside two of 4 + 3 - 1.
    assert twin.peak_blocks == 4


def test_inputs_of_several_requests_share_the_budget_of_a_step(
    rules: EngineRules, flat: Flat
) -> None:
    # 8 tokens a step: 5 and 3 go together, 5 more wait, what reads nothing does not.
    sent = reading((0, 1, 1), (0, 1, 1), (0, 1, 1), (0, 1, 1), read=(5, 3, 0, 5))
    twin = Twin(sent, rules, encoder(flat)).play()
    assert steps_of(twin) == [[(0, 1), (1, 1), (2, 1)], [(3, 1)]]


def test_an_input_past_the_budget_takes_several_passes(rules: EngineRules, flat: Flat) -> None:
    twin = Twin(reading((0, 1, 1), read=(20,)), rules, encoder(flat)).play()
    assert twin.flown[0].passes == [8, 8, 4]
    assert twin.requests[0].times == [100 + 7 * 20 + 40]


def test_inputs_that_the_encoder_cannot_take_are_rejected(rules: EngineRules, flat: Flat) -> None:
    rules = replace(rules, max_encoder_tokens=5)
    twin = Twin(reading((0, 1, 1), (0, 1, 1), read=(5, 6)), rules, encoder(flat)).play()
    assert [r.rejected for r in twin.requests] == [False, True]


def test_who_was_preempted_is_read_again(rules: EngineRules, flat: Flat) -> None:
    rules = replace(rules, blocks=4, max_batch_tokens=32)
    twin = Twin(reading((0, 8, 5), (0, 8, 5), read=(3, 3)), rules, encoder(flat)).play()
    assert [r.preempted for r in twin.requests] == [0, 1]
    assert [sum(batch.read) for batch in twin.flown if batch.read] == [6, 3]
