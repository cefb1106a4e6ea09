from fractions import Fraction
from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apex_opt.solvers.exact_lp import lexicographic_maximum

Lp = tuple[list[int], list[list[int]], list[int]]


def test_a_textbook_programme_has_its_known_optimum():
    # max 3 x + 5 y, x <= 4, 2 y <= 12, 3 x + 2 y <= 18: Hillier and Lieberman, Wyndor Glass.
    assert lexicographic_maximum([[3, 5]], [[1, 0], [0, 2], [3, 2]], [4, 12, 18]) == [36]


def test_a_later_goal_chooses_among_the_best_for_the_first():
    rows, limits = [[1, 1], [1, 0]], [2, 1]
    assert lexicographic_maximum([[1, 1], [1, 0]], rows, limits) == [2, 1]
    assert lexicographic_maximum([[1, 1], [-1, 0]], rows, limits) == [2, 0]


def test_the_optimum_is_a_fraction():
    assert lexicographic_maximum([[1]], [[3]], [2]) == [Fraction(2, 3)]


def test_a_cycling_programme_ends():
    # Beale's example, scaled to integers: the greatest-coefficient rule never ends on it.
    goal = [75, -15_000, 2, -600]
    rows = [[25, -6000, -4, 900], [50, -9000, -2, 300], [0, 0, 1, 0]]
    assert lexicographic_maximum([goal], rows, [0, 0, 1]) == [5]


def test_a_goal_without_end_is_refused():
    with pytest.raises(ValueError, match=r"^a goal has no greatest value$"):
        lexicographic_maximum([[1]], [[-1]], [1])


def test_a_negative_limit_is_refused():
    with pytest.raises(ValueError, match=r"^limits must not be negative$"):
        lexicographic_maximum([[1]], [[1]], [-1])


small = st.integers(-4, 4)
programmes = st.tuples(
    st.lists(small, min_size=2, max_size=2),
    st.lists(st.lists(small, min_size=2, max_size=2), min_size=1, max_size=3),
    st.lists(st.integers(0, 6), min_size=3, max_size=3),
)


@settings(max_examples=100, deadline=None)
@given(programmes)
def test_the_optimum_is_that_of_the_best_corner(lp: Lp):
    goal, drawn, limits = lp
    rows = [*drawn, [1, 0], [0, 1]]  # x, y <= 5 keep it bounded
    limits = [*limits[: len(drawn)], 5, 5]
    edges = [*zip(rows, limits, strict=True), ([-1, 0], 0), ([0, -1], 0)]
    corners = []
    for ((a, b), e), ((c, d), f) in combinations(edges, 2):
        if det := a * d - b * c:
            x, y = Fraction(e * d - b * f, det), Fraction(a * f - e * c, det)
            if all(p * x + q * y <= limit for (p, q), limit in edges):
                corners.append(goal[0] * x + goal[1] * y)
    assert lexicographic_maximum([goal], rows, limits) == [max(corners)]
