from fractions import Fraction

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from apex_opt.solvers.exact_lp import lexicographic_maximum
from apex_opt.solvers.fleet_data import HORIZON
from apex_opt.solvers.fleet_lines import PairTable, left_over
from tests.solvers.fleets import fleet, kind

work = st.integers(0, 9)


@given(st.lists(st.tuples(work, work), min_size=1, max_size=4), st.integers(0, 30))
def test_what_is_left_over_is_the_least_of_any_split(each: list[tuple[int, int]], time: int):
    mine, theirs = zip(*each, strict=True)
    found = left_over(np.array([mine], float), np.array([theirs], float), np.array([[time]], float))
    ones = [[int(i == j) for j in range(len(each))] for i in range(len(each))]
    (most,) = lexicographic_maximum([list(theirs)], [list(mine), *ones], [time] + [1] * len(each))
    assert abs(Fraction(float(found[0, 0])) - (sum(theirs) - most)) < Fraction(1, 10**9)


def laid_out(above: int, upto: int) -> list[tuple[int, int]]:
    """Plans of 1 to 3 large replicas that are worth 5 each and small ones that are worth 2."""
    ours = kind(work=((3 * HORIZON,),), max_count=3, group_devices=2, fixed=5)
    theirs = kind(work=((6 * HORIZON,),), max_count=8, fixed=2)
    found = PairTable(fleet([ours, theirs], max_kinds=2)).between(above, upto)
    assert found is not None
    assert found.own.tolist() == sorted(found.own.tolist())
    return [(n, m) for n, m in (found.counts(at, 2) for at in range(len(found.own)))]


def test_beside_a_number_of_the_first_stand_as_many_of_the_second_as_it_leaves_work_and_room_for():
    pairs = [(1, 4), (1, 5), (1, 6), (2, 2), (2, 3), (2, 4), (3, 1), (3, 2)]
    alone = [(3, 0), (0, 6), (0, 7), (0, 8)]
    assert sorted(laid_out(-1, 100)) == sorted([*pairs, *alone])


def test_a_window_has_the_plans_that_are_worth_more_than_its_lower_end_and_no_more_than_its_upper():
    assert laid_out(-1, 12) == [(0, 6)]
    assert sorted(laid_out(12, 14)) == [(0, 7), (1, 4), (2, 2)]
    assert laid_out(17, 17) == []
    whole = [*laid_out(-1, 13), *laid_out(13, 17), *laid_out(17, 100)]
    assert sorted(whole) == sorted(laid_out(-1, 100))
