from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apex_opt.solvers.transport import SLACK, Transport, on_grid, transport, use


def asked(
    work: list[list[list[float]]], machines: list[int], delay: list[list[float]]
) -> Transport:
    return Transport(tuple(map(np.array, work)), tuple(machines), np.array(delay, float))


@pytest.mark.parametrize(
    ("shares", "grid", "units"),
    [
        ([1.0, 0.0], 20, [20, 0]),
        ([0.5, 0.5], 5, [3, 2]),
        ([0.26, 0.74], 10, [3, 7]),
        ([1 / 3, 1 / 3, 1 / 3], 20, [7, 7, 6]),
        ([1 - 1e-12, 1e-12], 20, [20, 0]),
    ],
)
def test_shares_are_rounded_to_the_grid_and_still_add_up(
    shares: list[float], grid: int, units: list[int]
) -> None:
    assert on_grid(shares, grid) == units


def test_each_group_gets_what_it_is_good_at() -> None:
    # Both classes take one group 1 and the other 4: apart they take 1 each.
    found = transport(asked([[[1, 4]], [[4, 1]]], [1, 1], [[1, 1], [1, 1]]), 20)
    assert found.tolist() == [[20, 0], [0, 20]]


def test_machines_share_what_their_group_gets() -> None:
    found = transport(asked([[[1]], [[1]]], [1, 3], [[0], [0]]), 20)
    assert found[1, 0] == pytest.approx(15, abs=1)


def test_delays_decide_where_use_does_not() -> None:
    # The first group is four times as fast at both; the second class is delayed more elsewhere.
    work, machines = [[[1, 1]], [[4, 4]]], [1, 4]
    found = transport(asked(work, machines, [[1, 1], [2, 9]]), 20)
    assert found[0, 1] == 20
    found = transport(asked(work, machines, [[1, 1], [9, 2]]), 20)
    assert found[0, 0] == 20


def test_every_resource_of_a_group_counts() -> None:
    # On its second resource the first group needs as long for the second class as the other one.
    found = transport(asked([[[1, 1], [0, 4]], [[4, 4]]], [1, 1], [[1, 1], [1, 1]]), 4)
    assert use(asked([[[1, 1], [0, 4]], [[4, 4]]], [1, 1], [[0, 0], [0, 0]]), found / 4) <= 3.01


NUMBERS = st.integers(1, 9)


@settings(max_examples=40, deadline=None)
@given(
    work=st.lists(st.lists(NUMBERS, min_size=3, max_size=3), min_size=2, max_size=2),
    machines=st.lists(st.integers(1, 3), min_size=2, max_size=2),
    delay=st.lists(st.lists(NUMBERS, min_size=3, max_size=3), min_size=2, max_size=2),
)
def test_no_shares_on_the_grid_are_less_busy_by_more_than_slack_and_rounding(
    work: list[list[int]], machines: list[int], delay: list[list[int]]
) -> None:
    grid = 4
    problem = asked([[row] for row in work], machines, delay)
    found = transport(problem, grid)
    assert found.sum(axis=0).tolist() == [grid] * 3
    every = (
        np.array([first, [grid - k for k in first]]) for first in product(range(grid + 1), repeat=3)
    )
    least = min(use(problem, shares / grid) for shares in every)
    # A vertex of two rows splits at most two classes, each moved by half a unit at most.
    rounding = sum(max(row) / n for row, n in zip(work, machines, strict=True)) / grid
    assert use(problem, found / grid) <= least * (1 + SLACK) + rounding + 1e-9
