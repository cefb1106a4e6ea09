import dataclasses
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apex_opt.plan.features import Features
from apex_opt.plan.objective import GOALS, Traffic
from apex_opt.plan.problem import MICRO, Problem
from apex_opt.plan.search import Search
from apex_opt.plan.tried import Tried
from apex_opt.solvers.fleet import Answer, FleetModel
from apex_opt.solvers.fleet_data import Due, FleetData, Kind, PoolData

DEVICES = 4
NOTHING = np.zeros((10, 10), np.int64)
TRAFFIC = Traffic(
    Features(NOTHING, (10, 100, 50, *[0] * 7), NOTHING[:3], NOTHING[0], NOTHING[0]),
    10,
    100.0,
    160.0,
)


def kind(fixed, devices):
    return Kind(
        pool=0,
        group_devices=devices,
        groups=1,
        max_count=DEVICES // devices,
        price_u=0,
        power_mw=0,
        work=(),
        fixed=fixed,
        flow=(0,) * 10,
    )


def problem(fixed, goal="cost", max_kinds=2):
    kinds = tuple(kind(f, d) for f, d in fixed)
    data = FleetData((PoolData(1, DEVICES),), kinds, 10, max_kinds)
    return Problem(
        (), data, GOALS[goal], TRAFFIC, (), (None,) * len(kinds), tuple(range(len(kinds)))
    )


def space(fixed, max_kinds):
    ranges = [range(DEVICES // d + 1) for _, d in fixed]
    for counts in product(*ranges):
        used = sum(1 for n in counts if n)
        if (
            1 <= used <= max_kinds
            and sum(n * d for n, (_, d) in zip(counts, fixed, strict=True)) <= DEVICES
        ):
            yield counts


def run(fixed, outcome, *, top_k=1, seconds=60.0, max_kinds=2, **more):
    """Search with `outcome(counts) -> (objective, met)` for a simulator."""
    played = []

    def play(counts):
        objective, met = outcome(counts)
        played.append(counts)
        return Tried(counts, objective, 1.0, None if met else "late", None)

    found = Search(
        problem(fixed, max_kinds=max_kinds),
        play,
        top_k=top_k,
        time_limit_s=seconds,
        threads=1,
        listen=lambda _: None,
        **more,
    ).run()
    return found, played


KINDS = st.lists(
    st.tuples(st.integers(1, 9).map(lambda n: n * MICRO), st.sampled_from([1, 2, 4])),
    min_size=1,
    max_size=3,
)


@settings(max_examples=40, deadline=None)
@given(fixed=KINDS, data=st.data(), max_kinds=st.integers(1, 2))
def test_the_answer_is_that_of_simulating_every_plan(fixed, data, max_kinds):
    truth = {}
    for counts in space(fixed, max_kinds):
        bound = sum(n * f for n, (f, _) in zip(counts, fixed, strict=True)) / MICRO
        extra = data.draw(st.integers(0, 8))
        truth[counts] = (bound + extra, data.draw(st.booleans()))
    found, played = run(fixed, truth.__getitem__, max_kinds=max_kinds)
    good = [objective for objective, met in truth.values() if met]
    assert len(set(played)) == len(played)
    assert found.exhausted or found.proved
    if good:
        assert found.best[0].objective == min(good)
        assert found.proved
    else:
        assert not found.best
        assert found.exhausted
        assert found.simulated == len(truth)


def test_the_first_plan_that_meets_its_bound_ends_the_search():
    found, played = run([(MICRO, 1)], lambda c: (float(c[0]), True))
    assert found.best[0].counts == (1,)
    assert found.proved
    assert played == [(1,)]


def test_a_plan_that_misses_a_level_is_kept_among_the_rejected():
    found, _ = run([(MICRO, 1)], lambda c: (float(c[0]), c[0] >= 3))
    assert found.best[0].counts == (3,)
    assert [t.counts for t in found.rejected] == [(1,), (2,)]


def test_runners_up_differ_in_kind():
    fixed = [(MICRO, 1), (2 * MICRO, 2)]
    found, _ = run(
        fixed,
        lambda c: (float(sum(n * f for n, (f, _) in zip(c, fixed, strict=True)) / MICRO), True),
        top_k=3,
    )
    kinds = [t.kinds for t in found.best]
    assert kinds == [frozenset({0}), frozenset({1}), frozenset({0, 1})]


def test_settings_do_not_make_a_runner_up_but_may_win_a_tie():
    fixed = [(2 * MICRO, 2), (2 * MICRO, 2), (3 * MICRO, 2)]
    asked = dataclasses.replace(problem(fixed, max_kinds=1), signatures=(0, 0, 1))

    def play(counts):
        price = sum(n * f for n, (f, _) in zip(counts, fixed, strict=True)) / MICRO
        return Tried(counts, price, 9.0 if counts[0] else 5.0, None, None)

    found = Search(asked, play, top_k=3, time_limit_s=60.0, threads=1, listen=lambda _: None).run()
    assert [t.counts for t in found.best] == [(0, 1, 0), (0, 0, 1)]


def test_among_equal_plans_the_fastest_is_first():
    fixed = [(2 * MICRO, 2), (2 * MICRO, 2)]

    def play(counts):
        return Tried(counts, 2.0 * sum(counts), 9.0 if counts[0] else 5.0, None, None)

    found = Search(
        problem(fixed, max_kinds=1),
        play,
        top_k=2,
        time_limit_s=60.0,
        threads=1,
        listen=lambda _: None,
    ).run()
    assert [t.counts for t in found.best] == [(0, 1), (1, 0)]


def test_without_time_nothing_is_claimed():
    found, played = run([(MICRO, 1)], lambda _: (1.0, True), seconds=-1.0)
    assert (found.best, found.proved, found.exhausted, played) == ([], False, False, [])


def test_goodput_is_bounded_by_what_arrives():
    p = problem([(0, 1)], "goodput")
    p = dataclasses.replace(p, data=dataclasses.replace(p.data, sense="max", goal=0, total=MICRO))
    found = Search(
        p,
        lambda c: Tried(c, 0.1, 1.0, None, None),
        top_k=1,
        time_limit_s=60.0,
        threads=1,
        listen=lambda _: None,
    ).run()
    # 10 requests in 100 s: 0.1 a second is all that there is.
    assert found.proved


def test_a_search_that_is_content_with_a_gap_ends_near_the_bound_and_claims_no_proof():
    fixed = [(10 * MICRO, 1), (10 * MICRO + 1000, 1)]
    played = []

    def play(counts):
        played.append(counts)
        price = sum(n * f for n, (f, _) in zip(counts, fixed, strict=True)) / MICRO
        return Tried(counts, price * 1.001, 1.0, None, None)

    found = Search(
        problem(fixed, max_kinds=1),
        play,
        top_k=1,
        time_limit_s=60.0,
        threads=1,
        listen=lambda _: None,
        gap=0.01,
        extra=0,
    ).run()
    assert (found.near, found.proved) == (True, False)
    assert len(played) == 1


def test_a_plan_is_found_soon_where_the_bound_is_far_below_it():
    data = FleetData(
        (PoolData(1000, 1),), (dataclasses.replace(kind(MICRO, 1), max_count=1000),), 10, 1
    )
    asked = dataclasses.replace(problem([(MICRO, 1)]), data=data)
    played = []

    def play(counts):
        played.append(counts[0])
        return Tried(counts, float(counts[0]), 1.0, None if counts[0] >= 400 else "late", None)

    def stop(event):
        if event.best and event.best.startswith("400 USD/h"):
            raise StopIteration

    with pytest.raises(StopIteration):
        Search(asked, play, top_k=1, time_limit_s=60.0, threads=1, listen=stop).run()
    assert len(played) < 30


def test_first_plans_are_looked_for_both_mixed_and_with_prefill_and_decode_apart():
    # Mixed replicas need 400; apart, 300 and 40 do.
    roles = ("mixed", "prefill", "decode")
    kinds = tuple(dataclasses.replace(kind(MICRO, 1), max_count=1000, role=role) for role in roles)
    data = FleetData((PoolData(1000, 1),), kinds, 10, 1, prefill=frozenset({0, 1, 4, 6}))
    asked = dataclasses.replace(problem([(MICRO, 1)] * 3), data=data)

    def play(counts):
        mixed, prefill, decode = counts
        meets = mixed >= 400 or (prefill >= 300 and decode >= 40)
        return Tried(counts, float(sum(counts)), 1.0, None if meets else "late", None)

    seen = []

    def stop(event):
        if event.best:
            seen.append(event.best.split(" USD/h")[0])
        if seen and seen[-1] == "340":
            raise StopIteration

    with pytest.raises(StopIteration):
        Search(asked, play, top_k=1, time_limit_s=60.0, threads=1, listen=stop).run()
    assert "400" in seen


def test_a_search_that_is_content_with_any_plan_looks_for_none_beside_it():
    # The first plan is worth ten times its bound: all others might be better.
    found, played = run([(MICRO, 1), (2 * MICRO, 1)], lambda _: (10.0, True), gap=float("inf"))
    assert (len(found.best), found.proved, len(played)) == (1, False, 1)


def test_a_search_stops_after_the_simulations_that_it_may_spend():
    found, played = run([(MICRO, 1), (2 * MICRO, 1)], lambda _: (10.0, False), most=3)
    assert (found.simulated, len(played), found.exhausted) == (3, 3, False)


@pytest.mark.parametrize(("most", "seconds", "simulated"), [(1, 60.0, 1), (9, 0.0, 0)])
def test_where_power_is_limited_no_more_is_simulated_than_time_and_number_allow(
    monkeypatch, most, seconds, simulated
):
    asked = problem([(MICRO, 1), (2 * MICRO, 1)])
    kinds = [dataclasses.replace(k, drawn=(Due((0,) * 10, 0),)) for k in asked.data.kinds]
    limited = {"kinds": tuple(kinds), "power_mw": 1, "late_mw": (0,)}
    asked = dataclasses.replace(asked, data=dataclasses.replace(asked.data, **limited))
    monkeypatch.setattr("apex_opt.plan.search.model_of", lambda data, _: FleetModel(data))
    monkeypatch.setattr("apex_opt.plan.search.seeds", lambda _: [])
    monkeypatch.setattr("apex_opt.plan.search.frugal", lambda _: [0, 1])
    found = Search(
        asked,
        lambda c: Tried(c, 5.0, 5.0, "late", None),
        top_k=1,
        time_limit_s=seconds,
        threads=1,
        listen=lambda _: None,
        most=most,
    ).run()
    assert found.simulated == simulated


def test_a_bound_is_known_also_where_time_ends_before_the_model_is_asked(monkeypatch):
    # Nothing is fixed, so the largest plans are tried first; there time ends.
    asked = dataclasses.replace(problem([(0, 1)]), goal=GOALS["latency"])
    monkeypatch.setattr("apex_opt.plan.search.seeds", lambda _: [(4,)])
    found = Search(
        asked,
        lambda c: Tried(c, 5.0, 5.0, None, None),
        top_k=1,
        time_limit_s=60.0,
        threads=1,
        listen=lambda _: None,
        most=1,
    ).run()
    assert (found.simulated, found.bound, found.proved) == (1, 0.0, False)


def test_from_a_known_plan_only_better_ones_are_looked_for():
    # One of the first kind may be better and misses; two of it are no better than the known plan.
    found, played = run(
        [(MICRO, 1), (2 * MICRO, 1)],
        lambda c: (float(c[0] + 2 * c[1]), c != (1, 0)),
        start=[(0, 1)],
        extra=0,
    )
    assert (found.best[0].counts, found.proved) == ((0, 1), True)
    assert set(played) == {(0, 1), (1, 0)}


def test_plans_of_one_kind_are_tried_while_they_may_be_the_best_before_the_solver_is_asked(
    monkeypatch,
):
    monkeypatch.setattr("apex_opt.plan.search.model_of", lambda data, _: FleetModel(data))
    nothing = Answer("unknown", None, None, 0)
    monkeypatch.setattr(FleetModel, "solve", lambda *_, **__: nothing)
    found, played = run(
        [(MICRO, 1), (2 * MICRO, 1)],
        lambda c: (float(c[0] + 2 * c[1]), c[0] >= 3 or c[1] >= 1),
    )
    assert (found.best[0].counts, found.proved) == ((0, 1), False)
    assert set(played) <= {(1, 0), (0, 1), (2, 0)}
