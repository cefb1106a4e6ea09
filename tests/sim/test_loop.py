from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import event, given, settings

from apex_opt.sim.engine import EngineRules
from apex_opt.sim.load import Load
from apex_opt.sim.log import REJECTED, Log
from apex_opt.sim.replica import play
from tests.sim.cases import Case, cases, table
from tests.sim.twin import LivelockError, Twin


def bin_of(gap: int) -> int:
    """256 equal bins to the octave, in integers; no time counts as a nanosecond."""
    gap = max(gap, 1)
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
    assert totals.energy_j <= totals.peak_w * totals.busy_ns * 1e-9 * (1 + 1e-9)
    assert totals.block_ns == pytest.approx(twin.block_ns, rel=1e-9)
    assert totals.peak_blocks == twin.peak_blocks
    assert totals.preemptions == sum(r.preempted for r in twin.requests)
    assert totals.max_queue == twin.max_queue
    assert totals.hit_tokens == twin.hit_tokens
    assert totals.loaded_blocks == twin.loaded_blocks
    assert totals.encoder_tokens == sum(sum(f.read) for f in twin.flown)
    assert totals.encoder_pairs == sum(n * n for f in twin.flown for n in f.read)
    assert totals.end_ns == max((f.finish for f in twin.flown), default=0)


@given(cases())
@settings(max_examples=300, deadline=None)
def test_the_loop_and_its_twin_agree(case: Case) -> None:
    try:
        twin = Twin(*case).play()
    except LivelockError:
        with pytest.raises(ValueError, match="the run would not end"):
            play(*case)
        return
    event(f"preempted {min(3, sum(r.preempted for r in twin.requests))}")
    event("found in the cache" if twin.hit_tokens else "nothing found")
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
    case = load, rules, table(stages, stages, 20, 12, False)
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
    steps = table(0, 1, 260, max_seqs, False)
    steps = replace(steps, mixed_ns=1000 * np.arange(261, dtype=np.int64).reshape(1, -1))
    agree(play(load, rules, steps), Twin(load, rules, steps).play())
