from fractions import Fraction

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from apex_opt.solvers.exact_lp import lexicographic_maximum
from apex_opt.solvers.fleet_data import HORIZON
from apex_opt.solvers.fleet_lines import left_over, lines
from tests.solvers.fleets import fleet, kind

work = st.integers(0, 9)


@given(st.lists(st.tuples(work, work), min_size=1, max_size=4), st.integers(0, 30))
def test_what_is_left_over_is_the_least_of_any_split(each: list[tuple[int, int]], time: int):
    mine, theirs = zip(*each, strict=True)
    found = left_over(np.array([mine], float), np.array([theirs], float), np.array([[time]], float))
    ones = [[int(i == j) for j in range(len(each))] for i in range(len(each))]
    (most,) = lexicographic_maximum([list(theirs)], [list(mine), *ones], [time] + [1] * len(each))
    assert abs(Fraction(float(found[0, 0])) - (sum(theirs) - most)) < Fraction(1, 10**9)


def test_beside_a_number_of_the_first_stand_as_many_of_the_second_as_it_leaves_work_and_room_for():
    ours = kind(work=((3 * HORIZON,),), max_count=3, group_devices=2)
    theirs = kind(work=((6 * HORIZON,),), max_count=8)
    (found,) = lines(fleet([ours, theirs], max_kinds=2))
    assert found.T.tolist() == [[0, 1, 1, 4, 6], [0, 1, 2, 2, 4], [0, 1, 3, 1, 2]]
