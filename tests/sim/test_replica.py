from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given, settings

from apex_opt.sim.engine import EngineRules
from apex_opt.sim.layout import given as constants
from apex_opt.sim.layout import lay_out, table
from apex_opt.sim.load import Load
from apex_opt.sim.log import DONE, REJECTED
from apex_opt.sim.loop import run
from apex_opt.sim.replica import play, rejects
from apex_opt.sim.steps import StepTable
from tests.sim.cases import Case, cases

Flat = Callable[..., StepTable]


def load(*requests: tuple[int, int, int], concurrency: int = 0) -> Load:
    """Requests as (arrival, prompt, output)."""
    columns = np.array(requests, np.int64).reshape(-1, 3).T
    return Load(*np.ascontiguousarray(columns), concurrency)


def test_a_lone_request_takes_its_prompt_in_chunks_and_then_a_step_a_token(
    rules: EngineRules, flat: Flat
) -> None:
    log = play(load((1000, 20, 4)), rules, flat())  # 20 tokens: chunks of 8, 8 and 4
    assert log.start_ns.tolist() == [1000]
    assert log.first_ns.tolist() == [1000 + 3 * 100]
    assert log.last_ns.tolist() == [1000 + 3 * 100 + 3 * 10]
    assert log.gap_ns.tolist() == [10]
    assert log.totals.steps == 6
    assert log.totals.busy_ns == 330
    assert log.totals.prompt_tokens == 20
    assert log.totals.pairs == 20 * 21 // 2
    assert log.totals.context == 21 + 22 + 23
    assert log.totals.energy_j == pytest.approx(12e-6)
    assert log.totals.peak_w == pytest.approx(1e-6 / 10e-9)
    assert log.totals.peak_blocks == 6  # 20 + 4 - 1 tokens in blocks of 4
    assert log.totals.block_ns == 2 * 100 + 4 * 100 + 5 * 100 + 6 * 30


def test_a_lone_request_crosses_a_pipeline_stage_by_stage(rules: EngineRules, flat: Flat) -> None:
    log = play(load((0, 8, 3)), rules, flat(stages=3, hop=7))
    assert log.first_ns.tolist() == [3 * 100 + 2 * 7]
    assert log.gap_ns.tolist() == [3 * 10 + 2 * 7]
    assert log.totals.peak_w == pytest.approx(1e-6 / (3 * 10e-9 + 2 * 7e-9))  # a step, its hops too


def test_requests_overlap_in_a_pipeline(rules: EngineRules, flat: Flat) -> None:
    log = play(load((0, 8, 1), (0, 8, 1)), rules, flat(stages=2))
    assert log.start_ns.tolist() == [0, 100]
    assert log.last_ns.tolist() == [200, 300]
    assert log.totals.peak_w == pytest.approx(2 * 3e-6 / 200e-9)  # both stages at work


def test_overhead_delays_the_queue_but_not_the_arrival(rules: EngineRules, flat: Flat) -> None:
    log = play(load((5, 1, 1)), replace(rules, request_overhead_ns=70), flat())
    assert (log.arrival_ns[0], log.start_ns[0]) == (5, 75)


def test_async_scheduling_admits_a_step_later(rules: EngineRules, flat: Flat) -> None:
    requests = load((0, 8, 9), (50, 7, 1))
    assert play(requests, rules, flat()).start_ns.tolist() == [0, 100]
    asynchronous = replace(rules, async_scheduling=True)
    assert play(requests, asynchronous, flat()).start_ns.tolist() == [0, 110]


def test_async_scheduling_frees_a_place_a_step_later(rules: EngineRules, flat: Flat) -> None:
    requests = load((0, 1, 2), (0, 1, 5), (0, 1, 1))
    two = replace(rules, max_seqs=2)
    assert play(requests, two, flat()).start_ns.tolist() == [0, 0, 110]
    asynchronous = replace(two, async_scheduling=True)
    assert play(requests, asynchronous, flat()).start_ns.tolist() == [0, 0, 120]


def test_a_pipeline_ignores_async_scheduling(rules: EngineRules, flat: Flat) -> None:
    requests = load((0, 9, 9), (50, 7, 1), (60, 8, 3))
    asynchronous = replace(rules, async_scheduling=True)
    with_it, without = (play(requests, r, flat(stages=2)) for r in (asynchronous, rules))
    assert with_it.last_ns.tobytes() == without.last_ns.tobytes()


def test_the_last_admitted_is_preempted_and_computes_everything_again(
    rules: EngineRules, flat: Flat
) -> None:
    # Two prompts of 4 fill a block each, of three. At the first decode step the second finds none.
    log = play(load((0, 4, 4), (0, 4, 4)), replace(rules, blocks=3, block_tokens=4), flat())
    assert log.preempted.tolist() == [0, 1]
    assert log.first_ns.tolist() == [100, 100]
    assert log.last_ns.tolist() == [130, 130 + 100 + 20]
    assert log.gap_ns.tolist() == [10, 130]
    assert log.totals.prompt_tokens == 4 + 4 + 5


@pytest.mark.parametrize(
    ("change", "request_", "status"),
    [
        ({"max_model_tokens": 30}, (0, 20, 10), DONE),
        ({"max_model_tokens": 29}, (0, 20, 10), REJECTED),
        ({"blocks": 8}, (0, 23, 10), DONE),  # 32 tokens are cached, the last one is not
        ({"blocks": 8}, (0, 24, 10), REJECTED),
        ({"blocks": 8, "sequence_blocks": 1}, (0, 23, 10), REJECTED),
        ({"chunked_prefill": False}, (0, 8, 10), DONE),
        ({"chunked_prefill": False}, (0, 9, 10), REJECTED),
    ],
)
def test_a_request_that_can_never_run_is_rejected(
    rules: EngineRules,
    flat: Flat,
    change: dict[str, int],
    request_: tuple[int, int, int],
    status: int,
) -> None:
    log = play(load(request_), replace(rules, **change), flat())
    assert log.status.tolist() == [status]
    if status == REJECTED:
        columns = (log.start_ns, log.first_ns, log.last_ns, log.gap_ns)
        assert [column[0] for column in columns] == [-1, -1, -1, -1]


def test_a_client_sends_its_next_request_when_its_last_one_ends(
    rules: EngineRules, flat: Flat
) -> None:
    log = play(load((3, 1, 2), (0, 1, 1), (0, 200, 1), (0, 1, 1), concurrency=1), rules, flat())
    assert log.arrival_ns.tolist() == [3, 113, 213, 213]  # the third is rejected at once
    assert log.status.tolist() == [DONE, DONE, REJECTED, DONE]


def test_sequences_that_preempt_each_other_for_ever_are_an_error(
    rules: EngineRules, flat: Flat
) -> None:
    greedy = replace(
        rules, blocks=9, block_tokens=1, max_seqs=3, max_batch_tokens=3, full_sequence_gate=False
    )
    message = (
        "rules: 100 preemptions for each of max_seqs in a row without a token, the run would "
        "not end; set full_sequence_gate or give more blocks"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        play(load(*[(0, 7, 1)] * 3), greedy, flat(stages=2))


def test_no_requests_make_an_empty_log(rules: EngineRules, flat: Flat) -> None:
    log = play(load(), rules, flat())
    assert len(log.status) == 0
    assert log.totals.steps == 0


def test_everything_is_free_at_the_end(rules: EngineRules, flat: Flat) -> None:
    rng = np.random.default_rng(0)
    requests = load(*((int(t), 5, 30) for t in np.sort(rng.integers(0, 9000, 200))))
    tight = replace(rules, blocks=14)
    state = lay_out(requests, tight, flat(), rejects(requests, tight))
    run(constants(requests, tight, flat()), table(flat()), state)
    machine = np.asarray(state.machines)[0]
    assert machine["preemptions"] > 0
    assert (machine["free"], machine["running"], machine["spares"]) == (14, 0, 4)
    assert not state.residues.any()
    assert (state.ending == -1).all()


@given(cases())
@settings(max_examples=100, deadline=None)
def test_blocks_are_conserved_whatever_the_rules(case: Case) -> None:
    requests, rules, steps = case
    state = lay_out(requests, rules, steps, rejects(requests, rules))
    run(constants(requests, rules, steps), table(steps), state)
    machine, nodes = np.asarray(state.machines)[0], np.asarray(state.nodes)
    assume(machine["stale"] < 100 * rules.max_seqs)
    assert (machine["free"], machine["running"]) == (rules.blocks, 0)
    assert (machine["spares"], machine["waiting"], machine["due"]) == (rules.max_seqs, 0, 0)
    assert (machine["decoding"], machine["owed"], machine["outputs"]) == (0, 0, 0)
    assert not state.residues.any()
    assert (state.ending == -1).all()
    if rules.prefix_caching:
        assert not nodes["users"].any()
        assert (nodes["cached"] - nodes["first"]).sum() == machine["unused"] <= rules.blocks
        assert (nodes["host"] - nodes["first"]).sum() == machine["hosted"] <= rules.host_blocks
        above = nodes["parent"] >= 0
        whole = nodes["cached"][nodes["parent"]] == nodes["last"][nodes["parent"]]
        assert (whole | (nodes["cached"] == nodes["first"]))[above].all()  # no gaps


def test_every_token_is_sampled_once(rules: EngineRules, flat: Flat) -> None:
    rng = np.random.default_rng(1)
    requests = load(*((0, int(p), int(o)) for p, o in rng.integers(1, 30, (100, 2))))
    log = play(requests, replace(rules, blocks=20), flat())
    assert log.totals.preemptions > 0
    assert log.totals.rows == requests.output_tokens.sum()
    assert log.gaps.sum() == (requests.output_tokens - 1).sum()
    again = log.totals.prompt_tokens - requests.prompt_tokens.sum()
    assert again > 0  # recomputed: prompt and what was made
    completed = log.totals.rows - log.totals.decode_tokens  # prompts, some of them again
    assert 100 < completed <= 100 + log.preempted.sum()


def test_the_queue_waits_as_in_a_queue_with_one_server_and_constant_service(
    rules: EngineRules, flat: Flat
) -> None:
    n, service, use = 200_000, 1000, 0.7
    rng = np.random.default_rng(2)
    arrival = np.cumsum(rng.exponential(service / use, n)).astype(np.int64)
    one = np.ones(n, np.int64)
    log = play(Load(arrival, one, one), replace(rules, max_seqs=1), flat(mixed=service))
    wait = float((log.start_ns - log.arrival_ns).mean())
    # M/D/1 (Pollaczek-Khinchine): rho s / (2 (1 - rho)); the mean of 200,000 waits is good to 3 %.
    assert wait == pytest.approx(use * service / (2 * (1 - use)), rel=0.03)


def test_a_full_replica_makes_max_seqs_tokens_a_step(rules: EngineRules, flat: Flat) -> None:
    ten = replace(rules, max_seqs=10, max_batch_tokens=10, blocks=500)
    log = play(load(*[(0, 1, 50)] * 400), ten, flat())
    # 40 rounds of ten: one prompt step, 49 decoding ones.
    assert log.totals.end_ns == 40 * (100 + 49 * 10)


def test_the_same_input_gives_the_same_bytes(rules: EngineRules, flat: Flat) -> None:
    requests = load(*[(i * 7, 1 + i % 13, 1 + i % 17) for i in range(300)])
    one, two = (play(requests, replace(rules, blocks=20), flat(stages=2)) for _ in range(2))
    assert one.last_ns.tobytes() == two.last_ns.tobytes()
    assert one.gaps.tobytes() == two.gaps.tobytes()
    assert one.totals == two.totals


def test_slower_steps_end_a_burst_later(rules: EngineRules, flat: Flat) -> None:
    # With all arrivals at the start the schedule does not depend on time.
    requests = load(*[(0, 1 + i % 13, 1 + i % 17) for i in range(300)])
    ends = [play(requests, rules, flat(decode=d)).last_ns for d in (10, 11)]
    assert (ends[0] <= ends[1]).all()


def test_largest_gaps_are_kept_in_bounded_memory(rules: EngineRules, flat: Flat) -> None:
    # A long request decodes beside others that come one by one, each with a shorter prompt, so
    # each gap that their prompts make is a little shorter than the one before: many more such
    # gaps than the six places that there are for two sequences.
    steps = replace(flat(), mixed_ns=1000 * np.arange(65, dtype=np.int64).reshape(1, 65))
    two = replace(rules, max_seqs=2, max_batch_tokens=64, max_model_tokens=500, blocks=500)
    log = play(load((0, 1, 200), *((0, p, 2) for p in range(60, 1, -1))), two, steps)
    assert log.gap_ns.tolist() == [1000 * (59 + 1), *[10] * 59]


def test_the_loop_is_compiled_once(rules: EngineRules, flat: Flat) -> None:
    fixed = flat(stages=2)
    for array in (fixed.decode_ns, fixed.rows_j):
        array.flags.writeable = False
    play(load((0, 4, 4)), rules, fixed)
    play(load((0, 4, 4), concurrency=1), rules, flat())
    assert len(run.signatures) == 1
