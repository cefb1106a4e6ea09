"""Whom the twin admits and who gives way, worked out by hand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from apex_opt.sim.engine import EngineRules
from apex_opt.sim.steps import StepTable
from tests.sim.by_hand import load, steps_of
from tests.sim.twin import Twin

Flat = Callable[..., StepTable]


# ---- prompts first


def test_a_prompt_stalls_decoding(rules: EngineRules, flat: Flat) -> None:
    first = replace(rules, prefill_first=True)
    twin = Twin(load((0, 8, 3), (105, 12, 1)), first, flat()).play()
    assert steps_of(twin) == [[(0, 8)], [(0, 1)], [(1, 8)], [(1, 4)], [(0, 1)]]
    assert twin.requests[0].gaps == [10, 210]
    assert [batch.context for batch in twin.flown] == [0, 9, 0, 0, 10]
    together = Twin(load((0, 8, 3), (105, 12, 1)), rules, flat()).play()
    assert together.requests[0].gaps == [10, 100]


def test_a_prompt_without_blocks_stands_still_while_others_decode(
    rules: EngineRules, flat: Flat
) -> None:
    # 5 blocks: the first holds 3 of them, the second has run 8 of 12 tokens and needs its third.
    rules = replace(rules, prefill_first=True, blocks=5, full_sequence_gate=False)
    twin = Twin(load((0, 8, 3), (105, 12, 1)), rules, flat()).play()
    assert steps_of(twin) == [[(0, 8)], [(0, 1)], [(1, 8)], [(0, 1)], [(1, 4)]]
    assert [r.preempted for r in twin.requests] == [0, 0]


# ---- what an admission leaves free


def start(twin: Twin) -> list[int]:
    return [r.start for r in twin.requests]


@pytest.mark.parametrize(("watermark", "second"), [(1, 0), (2, 120)])
def test_a_watermark_stays_free_but_not_where_nobody_runs(
    rules: EngineRules, flat: Flat, watermark: int, second: int
) -> None:
    rules = replace(rules, blocks=3, watermark_blocks=watermark)
    twin = Twin(load((0, 4, 1), (0, 4, 1)), rules, flat()).play()
    assert start(twin) == [0, 100 if second else 0]
    alone = Twin(load((0, 12, 1)), replace(rules, watermark_blocks=9), flat()).play()
    assert start(alone) == [0]


@pytest.mark.parametrize(("blocks", "second"), [(6, 0), (5, 180)])
def test_reserved_output_keeps_the_second_out_instead_of_preempting(
    rules: EngineRules, flat: Flat, blocks: int, second: int
) -> None:
    # 4 + 9 - 1 tokens: 3 blocks each.
    rules = replace(rules, blocks=blocks, reserve_output=True)
    twin = Twin(load((0, 4, 9), (0, 4, 9)), rules, flat()).play()
    assert start(twin) == [0, second]
    assert sum(r.preempted for r in twin.requests) == 0
    assert twin.peak_blocks == (6 if second == 0 else 3)


@pytest.mark.parametrize(("blocks", "second"), [(5, 100), (4, 110), (3, 180)])
def test_the_owed_share_blocks_admission(
    rules: EngineRules, flat: Flat, blocks: int, second: int
) -> None:
    # At 100 the first still owes 8 tokens, at 110 7: half of them is kept, 4 and 3. The second
    # brings 4 + 1, so 9 and 8 tokens: 3 and 2 blocks beside the 2 of the first. With 3 blocks in
    # all it waits for the end of the first.
    rules = replace(rules, blocks=blocks, owed_ppm=500_000, owed_least_ppm=500_000)
    twin = Twin(load((0, 4, 9), (50, 4, 1)), rules, flat()).play()
    assert start(twin)[1] == second


def test_the_owed_share_sinks_with_decoding_steps_and_is_whole_again_after_a_rest(
    rules: EngineRules, flat: Flat
) -> None:
    rules = replace(rules, owed_ppm=900_000, owed_least_ppm=750_000, owed_decay_ppm=100_000)
    twin = Twin(load((0, 4, 3)), rules, flat())
    shares = []
    while twin.schedule():
        twin.land()
        shares.append(twin.owed_ppm)
    assert shares == []  # nothing has arrived yet
    assert twin.wake()
    for _ in range(3):
        assert twin.schedule()
        shares.append(twin.owed_ppm)
        twin.land()
    assert shares == [900_000, 800_000, 750_000]
    assert not twin.wake()
    twin = Twin(load((0, 4, 3), (1000, 4, 1)), rules, flat())
    assert twin.wake()
    while twin.schedule():
        twin.land()
    assert twin.owed_ppm == 750_000
    assert twin.wake()
    assert twin.owed_ppm == 900_000


def test_preemption_raises_the_owed_share(rules: EngineRules, flat: Flat) -> None:
    # Blocks of 1. At 100 the first holds 2 blocks and the second takes 50; they grow to 6 + 54.
    # Then the second gives way. The first has sampled 6 of 60: (6 + 20) / 61 = 0.426229.
    rules = replace(rules, block_tokens=1, blocks=60, max_batch_tokens=64)
    rules = replace(rules, owed_ppm=1, owed_decay_ppm=26_229)
    twin = Twin(load((0, 1, 60), (50, 50, 6)), rules, flat())
    assert twin.wake()
    while not twin.requests[1].preempted:
        assert twin.schedule()
        twin.land()
    assert twin.owed_ppm == 400_000  # the batch had no prompt tokens: once down


# ---- who gives way


def test_the_sequence_with_the_fewest_tokens_sampled_gives_way(
    rules: EngineRules, flat: Flat
) -> None:
    # Blocks of 1. The first comes a step earlier; of the others the second has the longer prompt.
    rules = replace(rules, block_tokens=1, max_batch_tokens=16, full_sequence_gate=False)
    crowd = load((0, 2, 6), (50, 3, 6), (50, 2, 6))
    fewest = Twin(crowd, replace(rules, blocks=8, retract_fewest=True), flat()).play()
    last = Twin(crowd, replace(rules, blocks=8), flat()).play()
    assert steps_of(fewest)[:3] == [[(0, 2)], [(0, 1), (1, 3), (2, 2)], [(0, 1), (2, 1)]]
    assert steps_of(last)[:3] == [[(0, 2)], [(0, 1), (1, 3), (2, 2)], [(0, 1), (1, 1)]]


# ---- memory that is not by the token


def test_window_layers_take_their_blocks_at_admission(rules: EngineRules, flat: Flat) -> None:
    # 20 + 5 - 1 tokens are 6 blocks, of which a window keeps 3, at 0.5 blocks: 2, and 1 of state.
    rules = replace(rules, sequence_blocks=1, token_blocks=0, window_limit=3, window_ppm=500_000)
    assert Twin(load((0, 20, 5)), rules, flat()).play().peak_blocks == 3
    assert Twin(load((0, 20, 5)), replace(rules, token_blocks=1), flat()).play().peak_blocks == 9
