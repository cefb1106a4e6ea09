from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from typing import get_args

import numpy as np
import pytest
from hypothesis import event, given, settings

from apex_opt.sim.engine import EngineRules, Order
from apex_opt.sim.joint import play_together
from apex_opt.sim.load import Load, Prefixes
from apex_opt.sim.log import REJECTED
from apex_opt.sim.member import FleetLog, Member, Router, Routing
from apex_opt.sim.replica import EndlessRunError, play
from apex_opt.sim.steps import StepTable
from apex_opt.sim.totals import Totals
from tests.sim.cases import table
from tests.sim.cluster_cases import Fleet, fleets
from tests.sim.test_loop import bin_of
from tests.sim.twin import LivelockError
from tests.sim.twin_cluster import Cluster
from tests.sim.twin_station import Station

Flat = Callable[..., StepTable]


def times(twin: Cluster, index: int) -> list[int]:
    """When the tokens of a request came, the first one once its cache had moved."""
    return [t for s in twin.route[index][-1:] for t in s.requests[index].times]


def agree(fleet: FleetLog, twin: Cluster) -> None:
    log, n = fleet.log, len(twin.requests)
    tokens = [times(twin, i) for i in range(n)]
    gaps = [np.diff(one).tolist() for one in tokens]
    assert fleet.replica.tolist() == [r[-1].number if r else -1 for r in twin.route]
    assert log.status.tolist() == [REJECTED * r.rejected for r in twin.requests]
    assert log.arrival_ns.tolist() == [r.arrival for r in twin.requests]
    assert log.start_ns.tolist() == [
        route[0].requests[i].start if route else -1 for i, route in enumerate(twin.route)
    ]
    assert log.first_ns.tolist() == [one[0] if one else -1 for one in tokens]
    assert log.last_ns.tolist() == [one[-1] if one else -1 for one in tokens]
    assert log.gap_ns.tolist() == [max(gaps[i], default=0) if tokens[i] else -1 for i in range(n)]
    assert log.preempted.tolist() == [
        sum(s.requests[i].preempted for s in route) for i, route in enumerate(twin.route)
    ]
    counted = np.bincount([bin_of(gap) for one in gaps for gap in one], minlength=len(log.gaps))
    assert np.array_equal(log.gaps, counted)
    for totals, stations in zip(fleet.members, twin.members, strict=True):
        same(totals, stations)


def same(totals: Totals, stations: Sequence[Station]) -> None:
    """Compare what replicas did in all: as sums, or the largest of each."""
    batches = [f for s in stations for f in s.flown if f.parts]
    prompts = sum(f.prompt_tokens for f in batches)
    expected = Totals(
        steps=len(batches),
        busy_ns=sum(s.busy_ns() for s in stations),
        prompt_tokens=prompts,
        decode_tokens=sum(f.tokens for f in batches) - prompts,
        rows=sum(f.rows for f in batches),
        context=sum(f.context for f in batches),
        pairs=sum(f.pairs for f in batches),
        energy_j=math.fsum(f.joules for f in batches),
        peak_w=math.fsum(s.peak_w for s in stations),
        block_ns=sum(s.block_ns for s in stations),
        peak_blocks=max(s.peak_blocks for s in stations),
        preemptions=sum(r.preempted for s in stations for r in s.requests),
        max_queue=max(s.max_queue for s in stations),
        end_ns=max((f.finish for s in stations for f in s.flown), default=0),
        hit_tokens=sum(s.hit_tokens for s in stations),
        loaded_blocks=sum(s.loaded_blocks for s in stations),
        encoder_tokens=sum(sum(f.read) for f in batches),
        encoder_pairs=sum(n * n for f in batches for n in f.read),
    )
    for field in fields(Totals):
        found, wanted = getattr(totals, field.name), getattr(expected, field.name)
        assert found == pytest.approx(wanted, rel=1e-9 if isinstance(found, float) else 0), field


@given(fleets())
@settings(max_examples=200, deadline=None)
def test_replicas_that_are_played_together_and_their_twin_agree(fleet: Fleet) -> None:
    try:
        twin = Cluster(*fleet).play()
    except LivelockError:
        with pytest.raises(EndlessRunError, match="the run would not end"):
            play_together(*fleet)
        return
    event("caches have moved" if twin.moved else "nothing moved")
    decoding = [s for s in twin.stations if s.role == "decode"]
    event(f"preempted where it decodes {any(r.preempted for s in decoding for r in s.requests)}")
    event(f"preempted {min(3, sum(r.preempted for s in twin.stations for r in s.requests))}")
    agree(play_together(*fleet), twin)


def test_they_agree_where_the_replica_that_knows_a_prompt_is_far_ahead(
    rules: EngineRules, flat: Flat
) -> None:
    # All prompts begin alike, so replica 0 knows them all once the first one has run. It is too
    # far ahead with 65 requests and none elsewhere: then the others come to know the prompts too.
    n = 400
    tree = Prefixes(np.array([-1]), np.array([12]))
    rng = np.random.default_rng(0)
    load = Load(
        np.concatenate([[0], np.arange(5000, 5000 + 5 * (n - 1), 5)]),
        rng.integers(14, 40, n),
        rng.integers(1, 12, n),
        prefix=np.zeros(n, np.int64),
        prefixes=tree,
    )
    caching = replace(rules, prefix_caching=True, max_batch_tokens=64)
    fleet = load, [Member(caching, flat(), 3, 1)], Routing("prefix_affinity")
    played = play_together(*fleet)
    assert played.replica[:65].tolist() == [0] * 65  # of which none has ended before the next
    assert sorted(set(played.replica.tolist())) == [0, 1, 2]
    agree(played, Cluster(*fleet).play())


@pytest.mark.parametrize("router", get_args(Router))
@pytest.mark.parametrize("order", get_args(Order))
@pytest.mark.parametrize("prefill_first", [False, True])
def test_they_agree_on_a_crowd_with_little_memory_to_decode(
    router: Router, order: Order, prefill_first: bool
) -> None:
    rng = np.random.default_rng(1)
    n = 60
    arrival = np.cumsum(rng.integers(0, 600, n, np.int64))
    load = Load(
        arrival,
        rng.integers(1, 30, n),
        rng.integers(1, 30, n),
        priority=rng.integers(0, 3, n),
    )
    rules = EngineRules(
        max_seqs=6,
        max_batch_tokens=12,
        max_model_tokens=100,
        block_tokens=3,
        blocks=30,
        full_sequence_gate=False,
        order=order,
        prefill_first=prefill_first,
    )
    steps = table(0, 1, 12, 6, False)
    members = [
        Member(rules, steps, 2, 1, "prefill"),
        Member(replace(rules, async_scheduling=True), steps, 1, 1, "decode", ranks=2),
        Member(rules, table(1, 2, 12, 6, False), 1, 2, "decode"),
    ]
    fleet = load, members, Routing(router, 0, 200, 30_000_000)
    played = play_together(*fleet)
    assert min(totals.preemptions for totals in played.members[1:]) > 1
    agree(played, Cluster(*fleet).play())


def test_who_gives_way_to_a_prompt_returns_the_block_of_that_step_too(
    rules: EngineRules, flat: Flat
) -> None:
    # Blocks of one token, 8 of them. At 200 the first request has 2 tokens cached and takes a
    # block for its third, then gives way to the other three tokens of a prompt before it in
    # rank. At the end it needs all 8.
    ordered = replace(
        rules,
        max_batch_tokens=4,
        block_tokens=1,
        blocks=8,
        order="priority",
        full_sequence_gate=False,
    )
    load = Load(np.array([0, 1]), np.array([1, 6]), np.array([8, 1]), priority=np.array([1, 0]))
    fleet = load, [Member(ordered, flat(), 1, 1)], Routing()
    played = play_together(*fleet)
    assert played.log.preempted.tolist() == [1, 0]
    agree(played, Cluster(*fleet).play())


def test_where_outputs_are_reserved_nobody_takes_a_block_for_a_step(
    rules: EngineRules, flat: Flat
) -> None:
    # The first request decodes while the long prompt, before it in rank, is computed by parts.
    reserved = replace(rules, block_tokens=1, order="priority", reserve_output=True)
    load = Load(np.array([0, 1]), np.array([1, 20]), np.array([8, 2]), priority=np.array([1, 0]))
    fleet = load, [Member(reserved, flat(), 1, 1)], Routing()
    played = play_together(*fleet)
    assert played.log.totals.peak_blocks == 8 + 21
    agree(played, Cluster(*fleet).play())


# ---- ranks


def test_a_rank_alone_with_requests_takes_the_time_of_a_replica(rules: EngineRules) -> None:
    # All prompts begin alike, and what comes after the first finds that in the cache of rank 0.
    n = 30
    tree = Prefixes(np.array([-1]), np.array([12]))
    rng = np.random.default_rng(0)
    load = Load(
        np.concatenate([[0], 5000 + np.cumsum(rng.integers(0, 300, n - 1, np.int64))]),
        rng.integers(14, 30, n),
        rng.integers(1, 12, n),
        prefix=np.zeros(n, np.int64),
        prefixes=tree,
    )
    for ahead in (False, True):
        caching = replace(rules, prefix_caching=True, async_scheduling=ahead)
        steps = table(3, 1, 8, 4, False)
        alone = play(load, caching, steps)
        ranks = [Member(caching, steps, 1, 1, ranks=3)]
        played = play_together(load, ranks, Routing("prefix_affinity"))
        assert played.replica.tolist() == [0] * n
        assert played.log.last_ns.tolist() == alone.last_ns.tolist()
        assert played.log.totals.busy_ns == 3 * alone.totals.busy_ns  # the others run along
        assert played.log.totals.steps == alone.totals.steps


def test_a_step_of_ranks_takes_as_long_as_the_largest_batch(rules: EngineRules, flat: Flat) -> None:
    # A step of n tokens takes 10 n ns: a prompt of 7 beside one of 2 makes two steps of 70.
    by_tokens = 10 * np.arange(65, dtype=np.int64).reshape(1, -1)
    steps = replace(flat(), decode_ns=by_tokens + 1, mixed_ns=by_tokens)
    load = Load(np.array([0, 0]), np.array([7, 2]), np.array([1, 3]))
    played = play_together(load, [Member(rules, steps, 1, 1, ranks=2)])
    assert played.replica.tolist() == [0, 1]
    assert played.log.first_ns.tolist() == [70, 70]
    assert played.log.last_ns.tolist() == [70, 70 + 11 + 11]


def test_a_rank_whose_batch_came_to_nothing_tries_again(rules: EngineRules, flat: Flat) -> None:
    # Of rank 1: 3 blocks, 4 tokens a step, prompts first. At 300 the long prompt waits for a
    # block, since the other request decodes; that needs one too, is of the last rank and gives
    # way. Then the prompt has its block, and nobody else has anything to run.
    ordered = replace(
        rules,
        max_batch_tokens=4,
        blocks=3,
        order="priority",
        prefill_first=True,
        full_sequence_gate=False,
    )
    load = Load(
        np.array([0, 0, 1, 50]),
        np.array([1, 4, 1, 12]),
        np.array([1, 5, 1, 1]),
        priority=np.array([0, 1, 0, 0]),
    )
    played = play_together(load, [Member(ordered, flat(), 1, 1, ranks=2)])
    assert played.replica.tolist() == [0, 1, 0, 1]
    assert played.log.preempted.tolist() == [0, 1, 0, 0]
    assert played.log.last_ns.tolist() == [100, 630, 200, 400]


# ---- roles


def apart(rules: EngineRules, steps: StepTable, sources: int = 1, targets: int = 1) -> list[Member]:
    return [
        Member(rules, steps, sources, 1, "prefill"),
        Member(rules, steps, targets, 1, "decode"),
    ]


@pytest.mark.parametrize("prompt", [1, 8, 9, 60])
@pytest.mark.parametrize("output", [1, 2, 9])
@pytest.mark.parametrize(("latency", "token_fs"), [(0, 0), (70, 0), (0, 1), (500, 99_999_999)])
def test_a_lone_first_token_comes_after_prompt_latency_and_transfer(
    rules: EngineRules, flat: Flat, prompt: int, output: int, latency: int, token_fs: int
) -> None:
    # Prompts run in steps of 8 tokens, 100 ns each; decoding takes 10.
    load = Load(np.array([1000]), np.array([prompt]), np.array([output]))
    routing = Routing(latency_ns=latency, token_fs=token_fs)
    log = play_together(load, apart(rules, flat()), routing).log
    moved = latency + prompt * token_fs // 10**6 if output > 1 else 0
    first = 1000 + 100 * -(-prompt // 8) + moved
    assert log.start_ns.tolist() == [1000]
    assert log.first_ns.tolist() == [first]
    assert log.last_ns.tolist() == [first + 10 * (output - 1)]


@pytest.mark.parametrize(("sources", "targets"), [(1, 1), (1, 3), (3, 1)])
def test_caches_on_one_link_move_one_after_the_other(
    rules: EngineRules, flat: Flat, sources: int, targets: int
) -> None:
    # Where all come from one replica, or go to one, they share a link. A cache has come when the
    # first token has; it took 15 ns and 9 for each token of the prompt.
    rng = np.random.default_rng(0)
    n = 200
    load = Load(
        np.cumsum(rng.integers(0, 100, n, np.int64)),
        rng.integers(1, 16, n),
        rng.integers(2, 9, n),
    )
    routing = Routing("least_outstanding", latency_ns=15, token_fs=9_000_000)
    log = play_together(load, apart(rules, flat(), sources, targets), routing).log
    order = np.argsort(log.first_ns)
    end, spent = log.first_ns[order], 15 + 9 * load.prompt_tokens[order]
    assert (end[1:] - spent[1:] >= end[:-1]).all()
    assert (end[1:] - spent[1:] == end[:-1]).sum() > n / 4  # the link is what limits them


def test_links_that_have_nothing_in_common_work_at_the_same_time(
    rules: EngineRules, flat: Flat
) -> None:
    load = Load(np.zeros(2, np.int64), np.full(2, 8), np.full(2, 2))
    routing = Routing(token_fs=100_000_000)
    log = play_together(load, apart(rules, flat(), 2, 2), routing).log
    assert log.first_ns.tolist() == [900, 900]


def test_a_full_decode_replica_holds_the_prefill_replica_up(rules: EngineRules, flat: Flat) -> None:
    # Prompts of two blocks and 100 ns, 100 ns to decode. The first request takes a third block of
    # the decode replica's four at 100, so that the second one has no place there until 700; until
    # then its two blocks stay on the prefill replica, which has three: no room for another one.
    prefill, decode = apart(rules, flat(decode=100))
    members = [
        replace(prefill, rules=replace(rules, blocks=3)),
        replace(decode, rules=replace(rules, blocks=4)),
    ]
    load = Load(np.zeros(3, np.int64), np.full(3, 8), np.array([7, 7, 2]))
    log = play_together(load, members).log
    assert log.start_ns.tolist() == [0, 100, 700]
    assert log.first_ns.tolist() == [100, 700, 1300]
    assert log.last_ns.tolist() == [700, 1300, 1400]


def test_who_is_preempted_while_decoding_computes_its_prompt_again_there(
    rules: EngineRules, flat: Flat
) -> None:
    # Both prompts are computed by 100. The first cache that comes decodes at once and takes the
    # fifth block; the second request finds none at 110, gives way, and has 8 + 1 tokens to
    # compute when the first one has ended.
    members = [
        replace(member, rules=replace(rules, max_batch_tokens=16, blocks=5))
        for member in apart(rules, flat())
    ]
    load = Load(np.zeros(2, np.int64), np.full(2, 8), np.full(2, 3))
    played = play_together(load, members)
    assert played.log.preempted.tolist() == [0, 1]
    assert played.log.first_ns.tolist() == [100, 100]
    assert played.log.last_ns.tolist() == [120, 120 + 100 + 10]
    assert [totals.prompt_tokens for totals in played.members] == [16, 9]
