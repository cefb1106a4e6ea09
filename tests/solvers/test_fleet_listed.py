from collections import Counter
from collections.abc import Iterable
from fractions import Fraction

from hypothesis import given, settings
from hypothesis import strategies as st

from apex_opt.solvers.fleet import Answer, FleetModel
from apex_opt.solvers.fleet_data import HORIZON, FleetData
from apex_opt.solvers.fleet_listed import ListedModel, few, plans
from apex_opt.solvers.fleet_verify import faults, forbidden, value
from tests.solvers.fleets import Counts, fleet, fleets, kind, vectors

FLEETS = st.sampled_from(["min", "max"]).flatmap(fleets)


def worth(data: FleetData, listed: Iterable[Counts]) -> dict[Counts, Fraction]:
    values = {counts: value(data, counts) for counts in listed if not faults(data, counts)}
    return {counts: v for counts, v in values.items() if v is not None}


def kinds_of(counts: Counts) -> frozenset[int]:
    return frozenset(r for r, n in enumerate(counts) if n)


@settings(max_examples=200, deadline=None)
@given(FLEETS)
def test_every_plan_that_is_allowed_is_listed_once(data: FleetData):
    listed = Counter(plans(data))
    assert set(listed.values()) <= {1}
    assert {c for c in listed if not forbidden(data, c)} == {
        c for c in vectors(data) if not forbidden(data, c)
    }


@settings(max_examples=100, deadline=None)
@given(FLEETS)
def test_answers_come_in_order_of_their_exact_value_rounded_to_the_safe_side(data: FleetData):
    values, model, found = worth(data, vectors(data)), ListedModel(data), dict[Counts, int]()
    while (answer := model.solve()).counts is not None:
        assert answer.status == "optimal"
        assert answer.objective is not None
        assert answer.objective == answer.bound
        found[answer.counts] = answer.objective
        model.cut(answer.counts)
    assert answer.status == "infeasible"
    sign = -1 if data.sense == "max" else 1
    assert found == {counts: sign * (sign * v // 1) for counts, v in values.items()}
    assert list(found.values()) == sorted(found.values(), reverse=data.sense == "max")


@settings(max_examples=100, deadline=None)
@given(fleets("min"), st.integers(0, 30), st.integers(0, 9))
def test_what_is_known_of_plans_beside_the_data_counts_where_it_is_more(
    data: FleetData, base: int, each: int
):
    def known(counts: Counts) -> int:
        return base + each * sum(counts) % 7

    values, model, found = worth(data, vectors(data)), ListedModel(data, known), dict[Counts, int]()
    while (answer := model.solve()).counts is not None:
        assert answer.objective is not None
        found[answer.counts] = answer.objective
        model.cut(answer.counts)
    fixed = {c: sum(k.fixed * n for k, n in zip(data.kinds, c, strict=True)) for c in values}
    assert found == {c: max(v.__floor__(), fixed[c] + known(c)) for c, v in values.items()}
    assert list(found.values()) == sorted(found.values())


@settings(max_examples=50, deadline=None)
@given(FLEETS, st.data())
def test_a_capped_set_of_kinds_is_left_to_better_bounds_alone(data: FleetData, draw: st.DataObject):
    values, model = worth(data, vectors(data)), ListedModel(data)
    if not values:
        return
    capped = draw.draw(st.sampled_from(sorted(values)))
    at = int(values[capped])
    model.cap(kinds_of(capped), at)
    model.cap(kinds_of(capped), at + (-1 if data.sense == "max" else 1))  # looser: no change
    found = set()
    while (answer := model.solve()).counts is not None:
        found.add(answer.counts)
        model.cut(answer.counts)
    assert found == {
        counts
        for counts, v in values.items()
        if kinds_of(counts) != kinds_of(capped) or (v > at if data.sense == "max" else v < at)
    }


@settings(max_examples=40, deadline=None)
@given(FLEETS)
def test_it_is_no_looser_than_the_solver(data: FleetData):
    listed, solved = ListedModel(data).solve(), FleetModel(data).solve()
    assert listed.status == solved.status
    if listed.bound is not None and solved.bound is not None:
        gain = listed.bound - solved.bound
        assert 0 <= (-gain if data.sense == "max" else gain) <= 2


def test_sets_of_kinds_of_equal_bounds_take_turns():
    model, found = ListedModel(fleet([kind(fixed=0, max_count=2)] * 2)), []
    for _ in range(4):
        counts = model.solve().counts
        assert counts is not None
        found.append(counts)
        model.cut(counts)
    assert found == [(0, 2), (2, 0), (2, 2), (0, 1)]


def test_once_the_time_is_out_the_bound_is_that_of_all_traffic_where_it_is_cheapest():
    # Two of it carry the traffic, so that one, of which the loose bound is 1, is no plan.
    model = ListedModel(fleet([kind(work=((2 * HORIZON,),))]))
    assert model.solve(time_limit_s=-1.0) == Answer("unknown", None, None, 1)
    assert model.solve() == Answer("optimal", (2,), 2, 2)


def test_a_space_is_small_up_to_a_number_of_plans():
    data = fleet([kind(max_count=4)])
    assert few(data, 4)
    assert not few(data, 3)


def test_of_roles_that_lack_the_other_none_is_listed():
    apart = [kind(role="prefill"), kind(role="decode", spare=4)]
    assert [*plans(fleet(apart, prefill=frozenset({0})))] == []
