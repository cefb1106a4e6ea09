from collections.abc import Iterable
from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apex_opt.solvers.fleet import QUICK, SECOND, Answer, FleetModel
from apex_opt.solvers.fleet_data import HORIZON, SHARE, FleetData, PoolData
from apex_opt.solvers.fleet_verify import faults, value
from tests.solvers.fleets import Counts, fleet, fleets, kind, vectors

FEW = settings(max_examples=40, deadline=None)
TWO = kind(work=((2 * HORIZON,),))  # two replicas carry the traffic


def worth(data: FleetData) -> dict[Counts, Fraction]:
    """Every plan with its exact objective: enumeration and exact arithmetic, no solver."""
    plans = [counts for counts in vectors(data) if not faults(data, counts)]
    values = {counts: value(data, counts) for counts in plans}
    return {counts: v for counts, v in values.items() if v is not None}


def is_bound_of(
    data: FleetData, bound: int, exact: Fraction, loosest: Fraction | None = None
) -> bool:
    """Whether the bound is on the safe side of `exact`, and beyond `loosest` by rounding only."""
    loosest = exact if loosest is None else loosest
    if data.sense == "max":
        return exact <= bound <= loosest + 2
    return loosest - 2 < bound <= exact


def best(data: FleetData, values: Iterable[Fraction]) -> Fraction:
    return max(values) if data.sense == "max" else min(values)


@pytest.mark.parametrize("sense", ["min", "max"])
@pytest.mark.parametrize("sizes", [(1, 2, 4), (2, 3)])
def test_the_best_plan_is_that_of_full_enumeration(sense: str, sizes: tuple[int, ...]):
    @FEW
    @given(fleets(sense, sizes))
    def check(data: FleetData):
        values = worth(data)
        answer = FleetModel(data).solve()
        if not values:
            assert (answer.status, answer.counts, answer.bound) == ("infeasible", None, None)
            return
        assert answer.status == "optimal"
        assert answer.counts in values
        assert answer.objective == answer.bound
        assert answer.bound is not None
        assert is_bound_of(data, answer.bound, best(data, values.values()))

    check()


@settings(max_examples=15, deadline=None)
@given(st.sampled_from(["min", "max"]).flatmap(fleets))
def test_cutting_each_answer_lists_every_plan_once_in_order(data: FleetData):
    values = worth(data)
    model = FleetModel(data)
    seen: list[Counts] = []
    bounds: list[int] = []
    for _ in range(min(len(values), 12)):
        answer = model.solve()
        assert answer.counts is not None
        assert answer.bound is not None
        assert is_bound_of(data, answer.bound, best(data, values.values()))
        seen.append(answer.counts)
        bounds.append(answer.bound)
        model.cut(answer.counts)
        del values[answer.counts]
    assert bounds == sorted(bounds, reverse=data.sense == "max")
    assert len(set(seen)) == len(seen)
    if not values:
        assert model.solve().status == "infeasible"


@FEW
@given(st.sampled_from(["min", "max"]).flatmap(fleets), st.data())
def test_a_capped_set_of_kinds_is_left_to_better_bounds_alone(data: FleetData, draw: st.DataObject):
    values = worth(data)
    if not values:
        return
    capped = draw.draw(st.sampled_from(sorted(values)))
    kinds = frozenset(r for r, n in enumerate(capped) if n)
    at = int(values[capped])
    model = FleetModel(data)
    model.cap(kinds, at)
    left = {
        counts: v
        for counts, v in values.items()
        if frozenset(r for r, n in enumerate(counts) if n) != kinds
        or (v > at if data.sense == "max" else v < at)
    }
    answer = model.solve()
    exact_cap = data.sense == "min" and not any(any(k.flow) for k in data.kinds)
    if not left and exact_cap:
        assert answer.status == "infeasible"
    elif left:
        assert answer.bound is not None
        exact = best(data, left.values())
        # Where shares are rounded, plans right at the cap may be left in.
        loosest = exact if exact_cap else best(data, [exact, Fraction(at)])
        assert is_bound_of(data, answer.bound, exact, loosest)


@pytest.mark.parametrize(("low", "high", "found"), [(None, 2, 2), (3, None, 3), (3, 4, 3)])
def test_the_window_of_the_objective_has_both_ends(low: int | None, high: int | None, found: int):
    answer = FleetModel(fleet([TWO])).solve(at_least=low, at_most=high)
    assert (answer.status, answer.objective, answer.counts) == ("optimal", found, (found,))


@pytest.mark.parametrize(("low", "high"), [(None, 1), (5, None), (3, 2)])
def test_a_window_without_plans_is_infeasible(low: int | None, high: int | None):
    assert FleetModel(fleet([TWO])).solve(at_least=low, at_most=high).status == "infeasible"


def test_the_window_holds_for_the_served_share_as_well():
    half = replace(TWO, fixed=0, max_count=1)
    model = FleetModel(fleet([half], sense="max", total=1000))
    assert model.solve().objective == 501  # 500 exactly; a millionth more may be served
    assert model.solve(at_most=250).objective == 251
    assert model.solve(at_least=500).status == "optimal"
    assert model.solve(at_least=502).status == "infeasible"
    assert model.solve(at_least=1001).status == "infeasible"


def test_a_cap_at_the_total_excludes_its_kinds():
    model = FleetModel(fleet([replace(TWO, fixed=0)], sense="max", total=1000))
    model.cap(frozenset({0}), 999)
    assert model.solve().counts is not None
    model.cap(frozenset({0}), 1000)
    assert model.solve().status == "infeasible"


def test_a_stopped_search_bounds_every_plan():
    kinds = [
        kind(work=((HORIZON * 40 // (r + 3),),), fixed=1000 * r + 3 * r * r, max_count=40)
        for r in range(3, 12)
    ]
    data = fleet(kinds, pools=(PoolData(50, 8),))
    exact = FleetModel(data).solve()
    stopped = FleetModel(data).solve(time_limit_s=1e-4)
    assert exact.status == "optimal"
    assert exact.objective is not None
    assert stopped.status in {"unknown", "feasible"}
    assert stopped.bound is not None
    assert stopped.bound <= exact.objective


def test_a_stopped_search_for_the_most_bounds_every_plan():
    data = fleet([replace(TWO, fixed=0, max_count=1)] * 5, sense="max", total=1000)
    stopped = FleetModel(data).solve(time_limit_s=1e-6)
    assert stopped.bound == 1000


def test_the_same_calls_give_the_same_answers():
    data = fleet([replace(TWO, fixed=5), replace(TWO, fixed=5), kind(fixed=10)])

    def answers(workers: int) -> list[Counts | None]:
        model, found = FleetModel(data), []
        for _ in range(3):
            found.append(model.solve(workers=workers).counts)
            model.cut(found[-1] or ())
        return found

    assert answers(1) == answers(1)
    assert answers(2) == answers(2)


@pytest.mark.parametrize("workers", [2, 4])
def test_strategies_in_turns_take_over_and_give_the_same_answers(
    workers: int, monkeypatch: pytest.MonkeyPatch
):
    kinds = [
        kind(work=((HORIZON * 40 // (r + 3),),), fixed=100 * r + 3 * r * r, max_count=40)
        for r in range(3, 9)
    ]
    data = fleet(kinds, pools=(PoolData(50, 8),))
    alone = FleetModel(data).solve()
    monkeypatch.setitem(QUICK, "max_deterministic_time", 0.0)
    answers = [FleetModel(data).solve(workers=workers) for _ in range(3)]
    assert answers[0].status == "optimal"
    assert answers[0].objective == alone.objective
    assert answers == answers[:1] * 3


def test_a_model_on_which_the_quick_search_stalled_once_is_not_given_to_it_again(
    monkeypatch: pytest.MonkeyPatch,
):
    model, quick = FleetModel(fleet([TWO])), list[bool]()
    search = model._search

    def noting(*arguments: Any) -> Answer:
        quick.append(QUICK in arguments)
        return search(*arguments)

    monkeypatch.setattr(model, "_search", noting)
    for work in (1.0, 0.0, 1.0):
        monkeypatch.setitem(QUICK, "max_deterministic_time", work)
        assert model.solve().objective == 2
    assert quick == [True, True, False, False]


@pytest.mark.parametrize(("stock", "status"), [(8, "optimal"), (1, "infeasible")])
def test_a_model_is_infeasible_only_where_a_second_opinion_finds_no_plan(
    stock: int, status: str, monkeypatch: pytest.MonkeyPatch
):
    # The first search calls every model infeasible, as presolve of OR-Tools 9.15 called some.
    model, asked = FleetModel(fleet([TWO], pools=(PoolData(1, stock),))), list[object]()
    search = model._search

    def false_infeasible(*arguments: Any) -> Answer:
        asked.append(arguments[2])
        none = Answer("infeasible", None, None, None)
        return search(*arguments) if arguments[2] is SECOND else none

    monkeypatch.setattr(model, "_search", false_infeasible)
    assert model.solve().status == status
    assert asked == [QUICK, SECOND]


def test_of_two_stopped_searches_the_better_plan_and_the_better_bound_are_kept():
    least = FleetModel(fleet([TWO]))
    first, second = Answer("feasible", (3,), 3, 1), Answer("feasible", (4,), 4, 2)
    assert least._better(first, second) == Answer("feasible", (3,), 3, 2)
    assert least._better(second, first) == Answer("feasible", (3,), 3, 2)
    assert least._better(first, Answer("unknown", None, None, 0)) == first
    most = FleetModel(fleet([replace(TWO, fixed=0)], sense="max", total=9))
    assert most._better(first, second) == Answer("feasible", (4,), 4, 1)
    proved = Answer("optimal", (2,), 2, 2)
    assert least._better(first, proved) == proved


def test_the_flow_is_worth_at_least_what_the_least_of_the_kinds_used_says():
    # Each carries half; together they are worth what the second says, 30, or their flow.
    halves = [kind(work=((2 * HORIZON,),), max_count=1, least_flow=w) for w in (50, 30)]
    data = fleet([replace(k, flow=(f,)) for k, f in zip(halves, (10, 20), strict=True)])
    model = FleetModel(data)
    assert model.solve() == Answer("optimal", (1, 1), 32, 32)
    assert value(data, (1, 1)) == 32
    more = replace(data, kinds=tuple(replace(k, beyond=(8,)) for k in data.kinds))
    assert value(more, (1, 1)) == 40
    assert FleetModel(more).solve().objective in {39, 40}  # shares are rounded down
    dear = replace(data, kinds=tuple(replace(k, flow=(80,)) for k in data.kinds))
    assert value(dear, (1, 1)) == 82
    assert FleetModel(dear).solve().objective in {81, 82}


def test_a_hint_changes_nothing_but_the_start():
    assert FleetModel(fleet([TWO])).solve(hint=(4,)).counts == (2,)


def test_twelve_thousand_devices_at_ten_thousand_dollars_fit_64_bits():
    # 1,000 of the slow kind carry the traffic; 500 of the fast one would, at 2.1 times the price.
    slow = kind(
        max_count=12_288, work=((10**12,),), price_u=10**10, fixed=10**10, flow=(3 * 10**14,)
    )
    fast = replace(slow, work=((5 * 10**11,),), price_u=21 * 10**9, fixed=21 * 10**9)
    data = fleet([slow, fast], pools=(PoolData(1536, 8),), price_u=10**14, power_mw=10**30)
    answer = FleetModel(data).solve()
    assert answer.counts == (1000, 0)
    exact = value(data, (1000, 0))
    assert exact == 1000 * 10**10 + 3 * 10**14
    assert answer.bound is not None
    assert exact * (1 - Fraction(3, SHARE)) <= answer.bound <= exact


@pytest.mark.parametrize("work", [10**15, 10**22, 10**40])
def test_a_kind_with_hopeless_work_serves_nothing(work: int):
    hopeless = kind(work=((work,),), fixed=0)
    answer = FleetModel(fleet([hopeless, TWO])).solve()
    assert answer.counts is not None
    assert answer.counts[1] == 2
