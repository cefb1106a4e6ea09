from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from apex_opt.sim.engine import EngineRules
from apex_opt.sim.fleet import play_fleet
from apex_opt.sim.load import Load
from apex_opt.sim.member import Member, Router, Routing
from apex_opt.sim.replica import play
from apex_opt.sim.steps import StepTable

Flat = Callable[..., StepTable]


def load(n: int, concurrency: int = 0) -> Load:
    rng = np.random.default_rng(n)
    arrival = np.cumsum(rng.integers(0, 50, n, np.int64))
    return Load(arrival, rng.integers(1, 20, n), rng.integers(1, 20, n), concurrency)


def test_one_replica_is_a_fleet(rules: EngineRules, flat: Flat) -> None:
    fleet = play_fleet(load(200), [Member(rules, flat(), 1, 1)])
    alone = play(load(200), rules, flat())
    assert fleet.log.totals == alone.totals == fleet.members[0]
    assert fleet.log.last_ns.tobytes() == alone.last_ns.tobytes()
    assert fleet.log.gaps.tobytes() == alone.gaps.tobytes()


def test_each_replica_plays_its_share_alone(rules: EngineRules, flat: Flat) -> None:
    requests = load(300)
    fleet = play_fleet(requests, [Member(rules, flat(), 2, 1), Member(rules, flat(7), 1, 2)])
    assert np.bincount(fleet.replica).tolist() == [75, 75, 150]
    for replica, steps in enumerate([flat(), flat(), flat(7)]):
        mine = np.flatnonzero(fleet.replica == replica)
        alone = play(requests.take(mine), rules, steps)
        assert fleet.log.first_ns[mine].tolist() == alone.first_ns.tolist()
        assert fleet.log.gap_ns[mine].tolist() == alone.gap_ns.tolist()
    assert fleet.members[1] == alone.totals
    assert fleet.log.totals.rows == sum(m.rows for m in fleet.members)
    assert fleet.log.totals.rows == requests.output_tokens.sum()


def test_threads_change_nothing(rules: EngineRules, flat: Flat) -> None:
    members = [Member(rules, flat(), 3, 1), Member(rules, flat(7), 2, 2)]
    one, two = (play_fleet(load(300), members, threads) for threads in (1, 2))
    assert one.log.last_ns.tobytes() == two.log.last_ns.tobytes()
    assert one.members == two.members


def test_clients_stay_with_their_replica(rules: EngineRules, flat: Flat) -> None:
    requests = load(100, concurrency=5)
    fleet = play_fleet(requests, [Member(rules, flat(), 1, 4), Member(rules, flat(), 1, 1)])
    assert np.bincount(fleet.replica).tolist() == [80, 20]
    lonely = fleet.replica == 1
    arrival, last = fleet.log.arrival_ns[lonely], fleet.log.last_ns[lonely]
    assert arrival[1:].tolist() == last[:-1].tolist()


def test_every_replica_has_a_client_if_there_are_enough(rules: EngineRules, flat: Flat) -> None:
    members = [Member(rules, flat(), 1, 100), Member(rules, flat(), 1, 1)]
    assert np.bincount(play_fleet(load(40, 4), members).replica).tolist() == [30, 10]


def test_clients_without_a_request_take_neither_time_nor_memory(
    rules: EngineRules, flat: Flat
) -> None:
    members = [Member(rules, flat(), 2, 2), Member(rules, flat(), 1, 1)]
    many, enough = (play_fleet(load(40, clients), members) for clients in (10**12, 40))
    assert many.replica.tolist() == enough.replica.tolist()
    assert many.log.last_ns.tobytes() == enough.log.last_ns.tobytes()


def test_without_enough_clients_some_replicas_get_nothing(rules: EngineRules, flat: Flat) -> None:
    fleet = play_fleet(load(40, 2), [Member(rules, flat(), 3, 1)])
    assert np.bincount(fleet.replica, minlength=3).tolist() == [20, 20, 0]


@pytest.mark.parametrize(("count", "weight"), [(0, 1), (1, 0)])
def test_a_fleet_without_weight_is_an_error(
    rules: EngineRules, flat: Flat, count: int, weight: int
) -> None:
    with pytest.raises(ValueError, match=r"^members: no replica has a weight$"):
        play_fleet(load(3), [Member(rules, flat(), count, weight)])


def test_half_the_load_on_half_the_replicas_waits_the_same(rules: EngineRules, flat: Flat) -> None:
    doubled = np.repeat(np.arange(200), 2)
    twice = play_fleet(load(200).take(doubled), [Member(rules, flat(), 2, 1)])
    alone = play(load(200), rules, flat())
    assert twice.log.last_ns[::2].tolist() == alone.last_ns.tolist()
    assert twice.log.last_ns[1::2].tolist() == alone.last_ns.tolist()


def halves(rules: EngineRules, flat: Flat, short: int, long: int) -> list[Member]:
    """Return two kinds: of the short prompts, and of the long ones, the second gets a share."""
    return [
        Member(rules, flat(), 1, 1, class_weights=(4 - short, 4 - long)),
        Member(rules, flat(7), 2, 1, class_weights=(short, long)),
    ]


def test_prompts_of_each_length_go_where_their_class_says(rules: EngineRules, flat: Flat) -> None:
    requests = load(300)
    members = halves(rules, flat, 0, 4)
    fleet = play_fleet(requests, members, routing=Routing(up_to_tokens=(9,)))
    assert ((fleet.replica == 0) == (requests.prompt_tokens <= 9)).all()
    long = np.bincount(fleet.replica)[1:]
    assert abs(int(long[0]) - int(long[1])) <= 1
    assert fleet.log.totals.rows == requests.output_tokens.sum()
    for replica, steps in enumerate([flat(), flat(7), flat(7)]):
        mine = np.flatnonzero(fleet.replica == replica)
        alone = play(requests.take(mine), rules, steps)
        assert fleet.log.last_ns[mine].tolist() == alone.last_ns.tolist()


def test_classes_of_equal_weights_above_all_prompts_change_nothing(
    rules: EngineRules, flat: Flat
) -> None:
    plain = [Member(rules, flat(), 1, 3), Member(rules, flat(7), 2, 2)]
    classes = [replace(m, class_weights=(m.weight, 5)) for m in plain]
    one = play_fleet(load(300), plain)
    other = play_fleet(load(300), classes, routing=Routing(up_to_tokens=(1000,)))
    assert one.replica.tobytes() == other.replica.tobytes()
    assert one.log.last_ns.tobytes() == other.log.last_ns.tobytes()
    assert one.members == other.members


def test_sessions_stay_where_their_first_prompt_went(rules: EngineRules, flat: Flat) -> None:
    prompts = np.array([3, 50, 60, 70], np.int64)
    asked = Load(
        np.zeros(4, np.int64),
        prompts,
        np.ones(4, np.int64),
        after=np.array([-1, 0, -1, 2]),
        think_ns=np.zeros(4, np.int64),
    )
    members = halves(rules, flat, 0, 4)
    fleet = play_fleet(asked, members, routing=Routing(up_to_tokens=(9,)))
    assert fleet.replica.tolist() == [0, 0, 1, 1]


@pytest.mark.parametrize(("concurrency", "router"), [(2, "round_robin"), (0, "least_kv")])
def test_classes_where_nothing_is_dealt_beforehand_are_an_error(
    rules: EngineRules, flat: Flat, concurrency: int, router: Router
) -> None:
    message = "routing.up_to_tokens: classes are dealt in turn, in an open loop, to mixed replicas"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        play_fleet(
            load(9, concurrency),
            halves(rules, flat, 1, 2),
            routing=Routing(router, up_to_tokens=(9,)),
        )


def test_a_kind_is_checked_once_however_many_replicas_it_has(
    rules: EngineRules, flat: Flat, monkeypatch: pytest.MonkeyPatch
) -> None:
    checked: list[int] = []

    def counting(load: Load, *others: object) -> None:
        checked.append(len(load))

    monkeypatch.setattr("apex_opt.sim.replica.check", counting)
    play_fleet(load(90), [Member(rules, flat(), 40, 1), Member(rules, flat(7), 2, 1)])
    assert checked == [90, 90]


def test_what_is_unsound_for_one_replica_is_refused_for_all(rules: EngineRules, flat: Flat) -> None:
    late = load(20)
    late.prompt_tokens[19] = 0
    with pytest.raises(ValueError, match=r"^load.prompt_tokens: must be from 1 to 1073741823$"):
        play_fleet(late, [Member(rules, flat(), 20, 1)])
