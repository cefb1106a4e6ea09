from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apex_opt.solvers.fleet_data import HORIZON, SHARE
from apex_opt.solvers.fleet_objective import LIMIT, LeastSum, MostServed, objective, shrink
from tests.solvers.fleets import fleet, kind


@pytest.mark.parametrize(
    ("greatest", "divisor"), [(0, 1), (100, 1), (101, 10), (1000, 10), (1001, 100)]
)
def test_the_least_power_of_ten_that_helps_divides(greatest: int, divisor: int):
    assert shrink(greatest, limit=100) == divisor


def test_a_sum_of_counts_alone_is_kept_as_it_is():
    goal = objective(fleet([kind(fixed=7)]))
    assert goal == LeastSum(((7),), ((0,),), by=1, over=1, loss=0, greatest=28)
    assert goal.to_units(21) == 21
    assert goal.window(7, 14) == (7, 14)
    assert goal.window(None, 10**30) == (0, 28)
    assert goal.better(14) == 13


def test_shares_are_counted_in_millionths_of_the_unit():
    goal = objective(fleet([kind(fixed=7, flow=(3,))]))
    assert isinstance(goal, LeastSum)
    assert (goal.fixed, goal.flow, goal.by) == ((7 * SHARE,), ((3,),), SHARE)
    assert goal.to_units(10 * SHARE - 1) == 9  # down: 9.999999 is at least 9
    assert goal.better(10) == 10 * SHARE - 1
    assert goal.window(10, 10) == (10 * SHARE - goal.loss, 10 * SHARE)


amounts = st.integers(0, 10**15)
shares = st.fractions(0, 1)


@settings(max_examples=100, deadline=None)
@given(st.tuples(amounts, amounts), st.tuples(amounts, amounts), st.integers(0, 4), shares)
def test_rounding_stays_on_the_safe_side(
    fixed: tuple[int, int], flow: tuple[int, int], count: int, share: Fraction
):
    kinds = [kind(fixed=f, flow=(g,)) for f, g in zip(fixed, flow, strict=True)]
    goal = objective(fleet(kinds))
    assert isinstance(goal, LeastSum)
    assert goal.greatest <= LIMIT
    splits = (share, 1 - share)
    exact = sum(fixed) * count + sum(f * s for f, s in zip(flow, splits, strict=True))
    own = sum(goal.fixed) * count + sum(
        c * int(s * SHARE) for (c,), s in zip(goal.flow, splits, strict=True)
    )
    assert goal.to_units(own) <= exact
    assert goal.window(int(exact), None)[0] <= own
    assert own <= goal.window(None, -int(-exact // 1))[1]
    assert own <= goal.better(int(exact) + 1)


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 10**18), shares)
def test_the_share_that_is_served_is_rounded_up(total: int, share: Fraction):
    goal = objective(fleet([kind(fixed=0)], sense="max", total=total))
    assert isinstance(goal, MostServed)
    exact, own = total * share, SHARE - int(share * SHARE)
    assert exact <= goal.to_units(own) <= exact + Fraction(total, SHARE) + 1
    below = int(exact)
    assert goal.window(below, None)[1] >= own
    assert goal.window(None, -int(-exact // 1))[0] <= own
    assert own <= goal.better(below - 1)


def test_more_than_all_cannot_be_served():
    goal = MostServed(1000)
    assert goal.window(1000, None) == (0, 0)
    assert goal.window(1001, None) == (0, -1)
    assert goal.better(999) == 1000
    assert goal.better(1000) == -1


def test_hopeless_work_takes_no_room_in_the_objective():
    hopeless = kind(work=((10**30,),), flow=(10**30,))
    assert objective(fleet([hopeless, kind(work=((HORIZON,),))])).greatest == 8 * SHARE


def test_what_the_flow_is_worth_at_least_is_rounded_down_like_the_rest():
    goal = objective(fleet([kind(fixed=7, flow=(3,), least_flow=5), kind(flow=(1,))]))
    assert isinstance(goal, LeastSum)
    assert goal.least == (5 * SHARE, 0)
    large = objective(fleet([kind(least_flow=3 * 10**18 + 1, max_count=1)]))
    assert isinstance(large, LeastSum)
    assert (large.over, large.least, large.loss) == (10, (3 * 10**17,), 2)
