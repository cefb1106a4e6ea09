"""The twin's guesses, worked out by hand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from apex_opt.sim.engine import EngineRules
from apex_opt.sim.steps import StepTable
from tests.sim.by_hand import load, session, steps_of
from tests.sim.twin import Twin
from tests.sim.twin_drafts import mix

Flat = Callable[..., StepTable]


@pytest.mark.parametrize(("acceptance", "tokens"), [(0, [1, 1, 1, 1, 1]), (1_000_000, [3, 2])])
def test_right_guesses_are_sampled_at_once(
    rules: EngineRules, flat: Flat, acceptance: int, tokens: list[int]
) -> None:
    # After the first token 5 are left: 1 + 2 guesses a step, in the last one less.
    rules = replace(rules, drafts=2, acceptance_ppm=acceptance, max_batch_tokens=12)
    twin = Twin(load((0, 4, 6)), rules, flat()).play()
    assert [batch.rows for batch in twin.flown] == [1, *tokens]
    assert len(twin.requests[0].times) == 6


def test_guesses_are_right_as_often_as_they_should(rules: EngineRules, flat: Flat) -> None:
    # One guess a step: 1.3 tokens a step, 2000 tokens.
    rules = replace(rules, drafts=1, acceptance_ppm=300_000, max_model_tokens=3000, blocks=600)
    twin = Twin(load((0, 4, 2001)), rules, flat()).play()
    assert len(twin.flown) - 1 == pytest.approx(2000 / 1.3, rel=0.03)


def test_a_step_runs_its_guesses_and_never_past_the_output(rules: EngineRules, flat: Flat) -> None:
    rules = replace(rules, drafts=2, max_batch_tokens=12)
    twin = Twin(load((0, 4, 6)), rules, flat()).play()
    # 5 left: 3 tokens, then 3, 3, 2 (2 left: one guess), 1.
    assert [n for ((_, n),) in steps_of(twin)] == [4, 3, 3, 3, 2, 1]
    assert [batch.context for batch in twin.flown] == [0, 7, 8, 9, 9, 9]
    assert [batch.heads for batch in twin.flown] == [1, 3, 3, 3, 2, 1]


def test_guessing_takes_its_time_where_somebody_decodes(rules: EngineRules, flat: Flat) -> None:
    steps = replace(flat(), draft_ns=np.full(65, 5, np.int64))
    rules = replace(rules, drafts=2, acceptance_ppm=1_000_000, max_batch_tokens=12)
    twin = Twin(load((0, 4, 6)), rules, steps).play()
    assert twin.requests[0].times == [100, 115, 115, 115, 130, 130]
    assert twin.requests[0].gaps == [15, 0, 0, 15, 0]


def test_only_accepted_tokens_fill_blocks(caching: EngineRules, flat: Flat) -> None:
    # 4 + 5 - 1 = 8 tokens at the end in both, so that the second turn hits two blocks.
    for acceptance in (0, 1_000_000):
        rules = replace(caching, drafts=3, acceptance_ppm=acceptance)
        twin = Twin(session((0, 4, 5), (0, 12, 1)), rules, flat()).play()
        assert twin.hit_tokens == 8


def test_guesses_are_those_of_splitmix64() -> None:
    # The first number of a splitmix64 stream of seed 0 is known: 0xE220A8397B1DCDAF.
    assert mix(1, 0, 0) == 0xE220A8397B1DCDAF >> 1
