from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any, get_args

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from apex_opt.sim.cluster import run_together
from apex_opt.sim.engine import EngineRules
from apex_opt.sim.fleet import play_fleet
from apex_opt.sim.joint import check_members, kind, lay_out, play_together, seen, states
from apex_opt.sim.layout import tables
from apex_opt.sim.load import Load
from apex_opt.sim.log import DONE, REJECTED, Log
from apex_opt.sim.member import FleetLog, Member, Router, Routing
from apex_opt.sim.replica import EndlessRunError, play, rejects
from apex_opt.sim.steps import StepTable
from tests.sim.cases import Case, cases
from tests.sim.cluster_cases import Fleet, fleets

Flat = Callable[..., StepTable]
LOAD = Load(np.array([0, 5]), np.array([3, 4]), np.array([1, 2]))


def refuses(message: str) -> Any:
    return pytest.raises(ValueError, match=f"^{re.escape(message)}$")


def some(n: int, concurrency: int = 0) -> Load:
    rng = np.random.default_rng(n)
    arrival = np.cumsum(rng.integers(0, 50, n, np.int64))
    return Load(arrival, rng.integers(1, 20, n), rng.integers(1, 20, n), concurrency)


def bytes_of(log: Log) -> list[bytes]:
    columns = (log.arrival_ns, log.start_ns, log.first_ns, log.last_ns, log.gap_ns)
    counts = (log.status, log.preempted, log.gaps, log.line.tracks)
    return [column.tobytes() for column in columns + counts]


# ---- the same as replicas that are played alone


@given(cases(), st.sampled_from(get_args(Router)))
@settings(max_examples=100, deadline=None)
def test_one_mixed_replica_is_played_as_if_it_were_alone(case: Case, router: Router) -> None:
    load, rules, steps = case
    members = [Member(rules, steps, 1, 2)]
    try:
        alone = play(*case, rows=8)
    except EndlessRunError:
        with pytest.raises(EndlessRunError):
            play_together(load, members, Routing(router))
        return
    together = play_together(load, members, Routing(router), rows=8)
    assert bytes_of(together.log) == bytes_of(alone)
    assert replace(together.log.totals, block_ns=0.0) == replace(alone.totals, block_ns=0.0)
    assert together.log.totals.block_ns == pytest.approx(alone.totals.block_ns, rel=1e-9)
    assert together.members == (together.log.totals,)
    assert together.replica.tolist() == (-alone.status).tolist()  # -1: rejected


@given(fleets(only=("mixed",), most_ranks=1))
@settings(max_examples=60, deadline=None)
def test_open_loops_dealt_in_turn_do_not_tell_replicas_apart(fleet: Fleet) -> None:
    # Which guess is right goes by a request's number, and that is another one in a share.
    load = Load(*(getattr(fleet[0], name) for name in COLUMNS))
    members = [replace(member, rules=replace(member.rules, drafts=0)) for member in fleet[1]]
    assume(not any(rejects(load, member.rules).any() for member in members if member.weight))
    try:
        dealt = play_fleet(load, members, rows=8)
    except EndlessRunError:
        return
    together = play_together(load, members, rows=8)
    assert together.replica.tolist() == dealt.replica.tolist()
    assert bytes_of(together.log) == bytes_of(dealt.log)
    for one, other in zip(together.members, dealt.members, strict=True):
        assert one.block_ns == pytest.approx(other.block_ns, rel=1e-9)
        assert replace(one, block_ns=0.0) == replace(other, block_ns=0.0)


COLUMNS = ("arrival_ns", "prompt_tokens", "output_tokens")


# ---- what holds for every fleet


@given(fleets())
@settings(max_examples=100, deadline=None)
def test_every_request_ends_once_and_leaves_nothing_behind(fleet: Fleet) -> None:
    load, members, routing = fleet
    check_members(load, members, routing)
    kinds = seen(load, [kind(load, member) for member in members])
    refused = np.logical_and.reduce([one.refused for one in kinds if one.takes_prompts])
    world, start = lay_out(load, kinds, routing), states(load, kinds, refused, 0)
    run_together(world, tables([one.member.steps for one in kinds]), start)
    requests, machines = np.asarray(start.requests), np.asarray(start.machines)[:-1]
    assume((requests["last"][~refused] >= 0).all())  # no replica ran out of patience
    sites, door = np.asarray(world.sites), np.asarray(world.door)
    rules = [one.member.rules for one in kinds]
    blocks = [rules[k].blocks for k in sites["kind"]]
    assert machines["free"].tolist() == blocks
    assert machines["spares"].tolist() == [rules[k].max_seqs for k in sites["kind"]]
    for nobody in ("running", "decoding", "owed", "waiting", "flying", "fronts"):
        assert not machines[nobody].any(), nobody
    assert not sites["outstanding"].any()
    assert not sites["ready"].any()
    assert door["moving"] == 0
    assert (world.replica >= 0).tolist() == (~refused).tolist()
    assert not start.residues.any()
    assert (start.ending == -1).all()


@given(fleets())
@settings(max_examples=100, deadline=None)
def test_tokens_are_conserved(fleet: Fleet) -> None:
    load, _, _ = fleet
    try:
        played = play_together(*fleet)
    except EndlessRunError:
        assume(False)
    log, done = played.log, played.log.status == DONE
    outputs = int(load.output_tokens[done].sum())
    computed = log.totals.prompt_tokens + log.totals.hit_tokens
    assert log.totals.rows == outputs
    assert log.gaps.sum() == outputs - done.sum()
    assert computed >= load.prompt_tokens[done].sum()
    if not log.totals.preemptions:
        assert computed == load.prompt_tokens[done].sum()
    assert (log.arrival_ns <= log.start_ns)[done].all()
    assert (log.start_ns < log.first_ns)[done].all()
    assert (log.first_ns <= log.last_ns)[done].all()


@given(fleets())
@settings(max_examples=30, deadline=None)
def test_the_same_fleet_gives_the_same_bytes(fleet: Fleet) -> None:
    try:
        one, two = play_together(*fleet, rows=8), play_together(*fleet, rows=8)
    except EndlessRunError:
        assume(False)
    assert bytes_of(one.log) == bytes_of(two.log)
    assert one.replica.tobytes() == two.replica.tobytes()
    assert one.members == two.members


def test_chance_is_of_the_seed(rules: EngineRules, flat: Flat) -> None:
    def replicas(seed: int) -> list[int]:
        members = [Member(rules, flat(), 2, 1), Member(rules, flat(), 1, 2)]
        return play_together(some(400), members, Routing("random", seed)).replica.tolist()

    assert replicas(1) == replicas(1)
    assert replicas(1) != replicas(2)
    assert np.bincount(replicas(1)) == pytest.approx([100, 100, 200], abs=30)  # 3 deviations


def test_nobody_is_no_load(rules: EngineRules, flat: Flat) -> None:
    played = play_together(LOAD.take(np.array([], np.int64)), [Member(rules, flat(), 2, 1)])
    assert (len(played.replica), played.log.totals.steps) == (0, 0)


# ---- who is rejected


def roles(
    rules: EngineRules, steps: StepTable, prefill: dict[str, Any], decode: dict[str, Any]
) -> list[Member]:
    """One prefill and one decode replica whose rules differ."""
    return [
        Member(replace(rules, **prefill), steps, 1, 1, "prefill"),
        Member(replace(rules, **decode), steps, 1, 1, "decode"),
    ]


def test_a_prefill_replica_has_no_room_for_outputs(rules: EngineRules, flat: Flat) -> None:
    # 5 blocks of 4 tokens: the prompt fits, the 20 tokens of prompt and output but the last do not.
    load = Load(np.array([0, 0]), np.array([20, 21]), np.array([2, 2]))
    played = play_together(load, roles(rules, flat(), {"blocks": 5}, {}))
    assert played.log.status.tolist() == [DONE, REJECTED]
    assert played.replica.tolist() == [1, -1]


def test_a_prompt_leaves_room_for_its_own_window_alone(rules: EngineRules, flat: Flat) -> None:
    # The prompt and the window over it take two blocks; with the output the window would take two.
    window = {"blocks": 2, "window_limit": 2, "window_ppm": 1_000_000}
    load = Load(np.array([0]), np.array([4]), np.array([4]))
    played = play_together(load, roles(rules, flat(), window, {}))
    assert played.log.status.tolist() == [DONE]
    assert played.log.first_ns.tolist() == [100]


def test_what_nobody_decodes_goes_to_a_mixed_replica(rules: EngineRules, flat: Flat) -> None:
    # The decode replica has no room for 12 tokens; a single token needs no decode replica.
    members = roles(rules, flat(), {}, {"blocks": 2})
    members.append(Member(rules, flat(), 1, 1))
    load = Load(np.zeros(4, np.int64), np.array([10, 10, 4, 10]), np.array([3, 1, 3, 3]))
    played = play_together(load, members, Routing("least_outstanding"))
    assert played.log.status.tolist() == [DONE] * 4
    assert played.replica.tolist() == [2, 0, 1, 2]


def test_what_nobody_decodes_is_rejected_by_prefill_replicas(
    rules: EngineRules, flat: Flat
) -> None:
    members = roles(rules, flat(), {}, {"blocks": 2})
    members.append(Member(replace(rules, blocks=1), flat(), 1, 1))
    load = Load(np.zeros(2, np.int64), np.array([10, 4]), np.array([3, 3]))
    played = play_together(load, members)
    assert played.log.status.tolist() == [REJECTED, DONE]


# ---- faults


@pytest.mark.parametrize(
    "members",
    [[], [(1, 0)], [(3, 0), (1, 0)]],
)
def test_somebody_must_have_a_weight(
    rules: EngineRules, flat: Flat, members: list[tuple[int, int]]
) -> None:
    made = [Member(rules, flat(), count, weight) for count, weight in members]
    with refuses("members: no replica has a weight"):
        play_together(LOAD, made)


@pytest.mark.parametrize(
    "alone", [("prefill",), ("decode",), ("mixed", "prefill"), ("decode", "mixed")]
)
def test_prefill_and_decode_replicas_need_each_other(
    rules: EngineRules, flat: Flat, alone: tuple[Any, ...]
) -> None:
    idle = {"prefill", "decode"} - set(alone)
    members = [Member(rules, flat(), 1, 1, role) for role in alone]
    members += [Member(rules, flat(), 1, 0, role) for role in idle]  # no weight: does not count
    with refuses("members: prefill and decode replicas need each other"):
        play_together(LOAD, members)


@pytest.mark.parametrize(
    "change", [{"role": "both"}, {"count": 0}, {"count": -1}, {"weight": -1}, {"ranks": 0}]
)
def test_unsound_members_are_refused(
    rules: EngineRules, flat: Flat, change: dict[str, Any]
) -> None:
    sound = [Member(rules, flat(), 1, 1), *roles(rules, flat(), {}, {})]
    with refuses("members: role, count, weight or ranks is unsound"):
        play_together(LOAD, [*sound, replace(sound[0], **change)])


def test_ranks_have_one_stage(rules: EngineRules, flat: Flat) -> None:
    with refuses("members: ranks that step together have one stage"):
        play_together(LOAD, [Member(rules, flat(stages=2), 1, 1, ranks=2)])


def test_what_an_encoder_has_read_does_not_move(rules: EngineRules, flat: Flat) -> None:
    made = roles(rules, flat(), {}, {"cross_cache": True})
    with refuses("members: a cache of what an encoder has read does not move"):
        play_together(LOAD, made)


def test_routers_are_known(rules: EngineRules, flat: Flat) -> None:
    unknown: Any = "first"
    with refuses(
        "routing.router: must be one of "
        "('round_robin', 'random', 'least_outstanding', 'least_kv', 'prefix_affinity')"
    ):
        play_together(LOAD, [Member(rules, flat(), 1, 1)], Routing(unknown))


@pytest.mark.parametrize(
    "change",
    [{"latency_ns": -1}, {"latency_ns": 1 << 61}, {"token_fs": -1}, {"token_fs": 1 << 40}],
)
def test_unsound_links_are_refused(rules: EngineRules, flat: Flat, change: dict[str, int]) -> None:
    with refuses("routing: latency_ns or token_fs is unsound"):
        play_together(LOAD, [Member(rules, flat(), 1, 1)], replace(Routing(), **change))


def test_prefix_caches_of_many_replicas_are_too_large(rules: EngineRules, flat: Flat) -> None:
    # With sessions 1,000 nodes a cache and 100,001 x 2 ranks: past 2 x 10^8 nodes.
    caching = Member(replace(rules, prefix_caching=True), flat(), 100_001, 1, ranks=2)
    with refuses(
        "load: 1,000 requests are too many for the prefix caches of 200002 replicas played together"
    ):
        load = replace(some(1000), after=np.full(1000, -1), think_ns=np.zeros(1000, np.int64))
        play_together(load, [Member(rules, flat(), 1, 1), caching])


def test_what_one_replica_refuses_all_do(rules: EngineRules, flat: Flat) -> None:
    members = roles(rules, flat(), {}, {"block_tokens": 0})
    with refuses("rules.block_tokens: must be at least 1, is 0"):
        play_together(LOAD, members)


@pytest.mark.parametrize(
    ("prompts", "outputs"),
    [([1, 5], [6, 1]), ([1, 2], [5, 5])],
    ids=["one has no token yet", "both have begun to decode"],
)
def test_a_run_that_would_not_end_is_refused(
    rules: EngineRules, flat: Flat, prompts: list[int], outputs: list[int]
) -> None:
    # Each of the two is in a cohort of its own, and has blocks that the other one needs.
    tight = replace(
        rules, max_seqs=2, max_batch_tokens=2, block_tokens=1, blocks=6, full_sequence_gate=False
    )
    load = Load(np.array([0, 0]), np.array(prompts), np.array(outputs))
    message = (
        "rules: 100 preemptions for each of max_seqs in a row without a token, the run would not "
        "end; set full_sequence_gate or give more blocks"
    )
    with refuses(message):
        play_together(load, [Member(tight, flat(stages=2), 1, 1)])
    with refuses(message):
        play(load, tight, flat(stages=2))


# ---- statistics


def mean_wait(played: FleetLog) -> float:
    return float((played.log.start_ns - played.log.arrival_ns).mean())


@pytest.mark.parametrize("seed", range(5))
def test_the_idlest_replica_lets_wait_no_longer_than_a_random_one(
    rules: EngineRules, flat: Flat, seed: int
) -> None:
    # Four equal replicas that together end a request every 29 ns while all have a queue: one
    # every 27 ns on average is too much for them.
    rng = np.random.default_rng(seed)
    n = 1000
    arrival = np.cumsum(rng.exponential(27, n)).astype(np.int64)
    load = Load(arrival, np.full(n, 2), rng.integers(1, 24, n))
    members = [Member(rules, flat(), 4, 1)]
    idlest, random = (
        play_together(load, members, Routing(router, seed))
        for router in ("least_outstanding", "random")
    )
    assert 0 < mean_wait(idlest) < mean_wait(random)
