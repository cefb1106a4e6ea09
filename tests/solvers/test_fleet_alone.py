from dataclasses import replace
from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apex_opt.solvers.fleet import FleetModel
from apex_opt.solvers.fleet_alone import AloneModel, alone, fewest, most, possible
from apex_opt.solvers.fleet_data import HORIZON, Due, FleetData, Floor, PoolData
from apex_opt.solvers.fleet_verify import faults, value
from tests.solvers.fleets import Counts, fleet, fleets, kind, vectors

SENSES = st.sampled_from(["min", "max"])


def of_one_kind(data: FleetData) -> FleetData:
    """The same fleet where a plan has one kind and all kinds are mixed."""
    kinds = tuple(replace(k, role="mixed") for k in data.kinds)
    return replace(data, kinds=kinds, max_kinds=1, prefill=frozenset())


FLEETS = SENSES.flatmap(fleets).map(of_one_kind)


def worth(data: FleetData) -> dict[Counts, Fraction]:
    plans = [counts for counts in vectors(data) if not faults(data, counts)]
    values = {counts: value(data, counts) for counts in plans}
    return {counts: v for counts, v in values.items() if v is not None}


@settings(max_examples=200, deadline=None)
@given(FLEETS)
def test_answers_list_every_plan_once_in_order_of_its_value(data: FleetData):
    values, model, found = worth(data), AloneModel(data), []
    while (answer := model.solve()).counts is not None:
        found.append(answer.counts)
        exact = values[answer.counts]
        assert answer.status == "optimal"
        assert answer.objective == answer.bound
        assert answer.bound is not None
        assert 0 <= (answer.bound - exact if data.sense == "max" else exact - answer.bound) < 2
        model.cut(answer.counts)
    assert answer.status == "infeasible"
    assert sorted(found) == sorted(values)
    told = [values[counts] for counts in found]
    rounded = [a - b if data.sense == "max" else b - a for a, b in pairwise(told)]
    assert all(gain > -2 for gain in rounded)


@settings(max_examples=25, deadline=None)
@given(FLEETS, st.data())
def test_it_agrees_with_the_solver_also_where_kinds_are_capped(
    data: FleetData, draw: st.DataObject
):
    values = worth(data)
    arithmetic, solver = AloneModel(data), FleetModel(data)
    if values:
        capped = draw.draw(st.sampled_from(sorted(values)))
        kinds = frozenset(r for r, n in enumerate(capped) if n)
        for model in (arithmetic, solver):
            model.cap(kinds, int(values[capped]))
    mine, its = arithmetic.solve(), solver.solve()
    assert (mine.status, mine.objective, mine.bound) == (its.status, its.objective, its.bound)


def test_kinds_of_equal_bounds_take_turns():
    model = AloneModel(fleet([kind(fixed=0), kind(fixed=0)], max_kinds=1))
    found = []
    for _ in range(4):
        counts = model.solve().counts
        assert counts is not None
        found.append(counts)
        model.cut(counts)
    assert found == [(4, 0), (0, 4), (3, 0), (0, 3)]


def test_floors_say_what_a_share_of_the_goal_takes_of_other_features():
    # Half of the goal takes nothing of the other feature, all of it takes all: 2 (s - 1/2).
    floors = ((), (Floor(2_000_000, -1_000_000),))
    two = kind(work=((0, 2 * HORIZON),), fixed=0, flow=(0, 0), max_count=1)
    data = fleet([two], features=2, sense="max", total=1000, served=floors, max_kinds=1)
    # One replica serves half of the other feature, so 2 (s - 1/2) = 1/2, s = 3/4.
    assert AloneModel(data).solve().objective == 751  # rounded to the safe side


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, 4),
        ({"devices": 3}, 3),
        ({"replicas": 2}, 2),
        ({"price_u": 3}, 3),
        ({"power_mw": 2}, 2),
        ({"starts": 1}, 1),
        ({"pools": (PoolData(1, 2),)}, 2),
        ({"pools": (PoolData(1, 8, power_mw=1),)}, 1),
    ],
)
def test_the_tightest_limit_says_how_many_there_may_be(changes, expected):
    assert most(fleet([kind()], **changes), 0) == expected


def test_devices_that_may_be_taken_away_are_a_share_of_all():
    spot = kind(spot_devices=1)
    assert most(fleet([spot], spot_ppm=10**6), 0) == 4
    assert most(fleet([spot], spot_ppm=999_999), 0) == 0


def test_the_fewest_carry_the_traffic_and_spare_ones_come_on_top():
    assert fewest(fleet([kind(work=((2 * HORIZON + 1,),))]), 0) == 3
    assert fewest(fleet([kind(work=((2 * HORIZON,),), spare=1)]), 0) == 3
    assert fewest(fleet([kind(work=((2 * HORIZON,),), spare=2, flow=(1,))]), 0) == 3
    assert fewest(fleet([kind(fixed=0)], sense="max", total=1), 0) == 1
    due = Due((3 * HORIZON + 2,), HORIZON + 1)
    assert fewest(fleet([kind(due=(due,))]), 0) == 3


def test_a_kind_that_may_not_serve_alone_has_no_plan():
    data = fleet([kind(companions=frozenset({1})), kind()])
    assert not possible(data, 0)
    assert possible(data, 1)


def test_plans_are_of_one_kind_where_no_more_may_stand_and_roles_are_not_apart():
    pair = [kind(), kind()]
    assert alone(fleet(pair, max_kinds=1))
    assert alone(fleet(pair, replicas=1))
    assert not alone(fleet(pair))
    apart = [kind(role="prefill"), kind(role="decode")]
    assert not alone(fleet(apart, max_kinds=1))
