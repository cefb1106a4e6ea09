from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from apex_opt.sim.engine import EngineRules
from apex_opt.sim.load import Load
from apex_opt.sim.log import REJECTED, Log
from apex_opt.sim.replica import play
from apex_opt.sim.steps import StepTable
from tests.sim.twin import LivelockError, Twin


def table(seed: int, stages: int, max_tokens: int, max_seqs: int) -> StepTable:
    """A step table without any order in it: times go up and down with the batch."""
    rng = np.random.default_rng(seed)

    def ns(low: int, high: int, *shape: int) -> np.ndarray:
        return rng.integers(low, high, shape, np.int64)

    hop = ns(0, 30, stages, max_tokens + 1)
    hop[-1] = 0
    return StepTable(
        decode_ns=ns(1, 400, stages, max_tokens + 1),
        mixed_ns=ns(1, 900, stages, max_tokens + 1),
        rows_ns=ns(0, 9, stages, max_seqs + 1),
        context_fs=ns(0, 900_000, stages),
        window_fs=ns(0, 900_000, stages),
        window_tokens=int(rng.integers(1, 20)),
        pair_fs=ns(0, 300_000, stages),
        window_pair_fs=ns(0, 300_000, stages),
        hop_ns=hop,
        decode_j=rng.random(max_tokens + 1),
        mixed_j=rng.random(max_tokens + 1),
        rows_j=rng.random(max_seqs + 1),
        context_j=0.01,
        window_j=0.02,
        pair_j=0.003,
        window_pair_j=0.004,
        idle_w=1.0,
    )


@st.composite
def cases(draw: st.DrawFn) -> tuple[Load, EngineRules, StepTable]:
    """Few blocks, small budgets, crowds: all that makes the scheduler think."""
    n = draw(st.integers(0, 30))
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    longest = draw(st.sampled_from([(8, 4), (25, 6), (6, 40), (40, 40)]))
    load = Load(
        np.cumsum(rng.integers(0, draw(st.sampled_from([1, 100, 3000])), n, np.int64)),
        rng.integers(1, longest[0] + 1, n, np.int64),
        rng.integers(1, longest[1] + 1, n, np.int64),
        draw(st.sampled_from([0, 0, 1, 3, 9])),
    )
    stages = draw(st.sampled_from([1, 1, 1, 2, 3, 4]))
    max_seqs = draw(st.integers(1, 7))
    max_batch = draw(st.integers(max_seqs, 24))
    block_tokens, sequence_blocks = draw(st.integers(1, 16)), draw(st.sampled_from([0, 0, 1, 2]))
    largest = -(-sum(longest) // block_tokens) + sequence_blocks
    rules = EngineRules(
        max_seqs=max_seqs,
        max_batch_tokens=max_batch,
        max_model_tokens=draw(st.sampled_from([30, 100, 100])),
        block_tokens=block_tokens,
        blocks=max(1, largest + draw(st.integers(-2, 8))),
        sequence_blocks=sequence_blocks,
        chunked_prefill=draw(st.sampled_from([True, True, False])),
        async_scheduling=draw(st.booleans()),
        full_sequence_gate=draw(st.booleans()),
        request_overhead_ns=draw(st.sampled_from([0, 0, 70])),
    )
    return load, rules, table(draw(st.integers(0, 10**6)), stages, max_batch, max_seqs)


def bin_of(gap: int) -> int:
    """256 equal bins to the octave, in integers."""
    octave = gap.bit_length() - 1
    return 256 * octave + ((gap << 8) >> octave) - 256


def agree(log: Log, twin: Twin) -> None:
    done = [r for r in twin.requests if not r.rejected]
    assert log.arrival_ns.tolist() == [r.arrival for r in twin.requests]
    assert log.status.tolist() == [REJECTED * r.rejected for r in twin.requests]
    assert log.start_ns.tolist() == [r.start for r in twin.requests]
    assert log.first_ns.tolist() == [r.times[0] if r.times else -1 for r in twin.requests]
    assert log.last_ns.tolist() == [r.times[-1] if r.times else -1 for r in twin.requests]
    assert log.gap_ns.tolist() == [
        -1 if r.rejected else max(r.gaps, default=0) for r in twin.requests
    ]
    assert log.preempted.tolist() == [r.preempted for r in twin.requests]
    gaps = np.zeros_like(log.gaps)
    for gap in [gap for r in done for gap in r.gaps]:
        gaps[bin_of(gap)] += 1
    assert np.array_equal(log.gaps, gaps)
    totals = log.totals
    assert totals.steps == len(twin.flown)
    assert totals.busy_ns == twin.busy_ns()
    assert totals.prompt_tokens == sum(f.prompt_tokens for f in twin.flown)
    assert totals.decode_tokens == sum(sum(n for _, n in f.parts) for f in twin.flown) - (
        totals.prompt_tokens
    )
    assert totals.rows == sum(f.rows for f in twin.flown)
    assert totals.context == sum(f.context for f in twin.flown)
    assert totals.pairs == sum(f.pairs for f in twin.flown)
    assert totals.energy_j == pytest.approx(math.fsum(f.joules for f in twin.flown), rel=1e-9)
    assert totals.peak_w == pytest.approx(twin.peak_w, rel=1e-9)
    assert totals.block_ns == pytest.approx(twin.block_ns, rel=1e-9)
    assert totals.peak_blocks == twin.peak_blocks
    assert totals.preemptions == sum(r.preempted for r in twin.requests)
    assert totals.max_queue == twin.max_queue
    assert totals.end_ns == max((f.finish for f in twin.flown), default=0)


@given(cases())
@settings(max_examples=300, deadline=None)
def test_the_loop_and_its_twin_agree(case: tuple[Load, EngineRules, StepTable]) -> None:
    try:
        twin = Twin(*case).play()
    except LivelockError:
        with pytest.raises(ValueError, match="the run would not end"):
            play(*case)
        return
    event(f"preempted {min(3, sum(r.preempted for r in twin.requests))}")
    agree(play(*case), twin)


@pytest.mark.parametrize("stages", [1, 2, 4])
@pytest.mark.parametrize("asynchronous", [False, True])
@pytest.mark.parametrize("gate", [False, True])
@pytest.mark.parametrize("concurrency", [0, 9])
def test_they_agree_on_a_crowd_with_too_few_blocks(
    stages: int, asynchronous: bool, gate: bool, concurrency: int
) -> None:
    rng = np.random.default_rng(stages)
    n = 60
    load = Load(
        np.cumsum(rng.integers(0, 600, n, np.int64)),
        rng.integers(1, 30, n, np.int64),
        rng.integers(1, 50, n, np.int64),
        concurrency,
    )
    rules = EngineRules(
        max_seqs=12,
        max_batch_tokens=20,
        max_model_tokens=100,
        block_tokens=3,
        blocks=45,
        async_scheduling=asynchronous,
        full_sequence_gate=gate,
    )
    case = load, rules, table(stages, stages, 20, 12)
    log = play(*case)
    assert log.totals.preemptions > 10
    agree(log, Twin(*case).play())


@pytest.mark.parametrize("max_seqs", [2, 3, 5, 9])
def test_they_agree_where_hundreds_of_gaps_shrink_one_by_one(max_seqs: int) -> None:
    # Prompts get shorter, so each step with a prompt is shorter than the ones before: far more
    # peaks than there are places for (2 max_seqs + 2), asked for by long and short requests.
    rng = np.random.default_rng(max_seqs)
    n = 250
    prompts = np.arange(n, 0, -1, dtype=np.int64)
    outputs = np.where(rng.random(n) < 0.1, rng.integers(20, 300, n), rng.integers(1, 4, n))
    load = Load(np.zeros(n, np.int64), prompts, outputs)
    rules = EngineRules(
        max_seqs=max_seqs, max_batch_tokens=260, max_model_tokens=600, block_tokens=16, blocks=900
    )
    steps = table(0, 1, 260, max_seqs)
    steps = replace(steps, mixed_ns=1000 * np.arange(261, dtype=np.int64).reshape(1, -1))
    agree(play(load, rules, steps), Twin(load, rules, steps).play())
