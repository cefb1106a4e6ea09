import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apex_opt.solvers.flow_blocks import SERIES, behind, cheapest


def table(price, steps, layers=4, top=6):
    return cheapest(layers, top, np.array(price, float), np.array(steps))


def test_one_machine_is_cheapest_where_it_is_enough():
    found = table([1.0, 5.0], [[3, 2, 0], [6, 6, 6]])
    assert found.cost[2, 2] == 1.0
    assert [*found.parts(2, 2, first=7)] == [(0, 7, 9)]


def test_machines_stand_side_by_side_where_that_is_cheaper():
    found = table([1.0, 5.0], [[3, 2, 0], [6, 6, 6]])
    assert found.cost[2, 4] == 2.0
    assert [*found.parts(2, 4)] == [(0, 0, 2), (0, 0, 2)]


def test_machines_stand_one_after_the_other_where_one_holds_too_few_layers():
    found = table([1.0], [[3, 2]])
    assert (found.cost[3, 2], found.how[3, 2]) == (2.0, SERIES)
    assert [*found.parts(3, 2)] == [(0, 0, 1), (0, 1, 3)]


def test_what_no_network_carries_costs_infinitely_much():
    assert table([1.0], [[0, 0, 0]]).cost[1, 1] == np.inf


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.integers(1, 9), min_size=2, max_size=2),
    st.lists(st.lists(st.integers(0, 6), min_size=3, max_size=3), min_size=2, max_size=2),
    st.integers(1, 4),
    st.integers(1, 6),
)
def test_a_network_costs_its_machines_and_carries_what_it_was_asked_for(price, steps, m, d):
    found = table(price, steps)
    if np.isinf(found.cost[m, d]):
        return
    parts = [*found.parts(m, d)]
    assert sum(price[t] for t, _, _ in parts) == found.cost[m, d]
    assert found.rate(m, d, steps) >= d
    for layer in range(m):
        assert sum(steps[t][b - a - 1] for t, a, b in parts if a <= layer < b) >= d


def test_the_real_rate_is_that_of_the_weakest_in_a_row_and_of_all_side_by_side():
    found = table([1.0], [[3, 2]])
    assert found.rate(2, 4, [[3.5, 2.25]]) == pytest.approx(4.5)
    assert found.rate(3, 2, [[3.5, 2.25]]) == pytest.approx(2.25)


def gated(price, steps, gate):
    at_gate = np.minimum(np.array(steps), gate)
    return behind(table(price, steps), np.array(price, float), at_gate, float(gate))


def test_behind_a_gate_more_machines_begin():
    found = gated([1.0], [[4, 4]], 2)
    assert (found.cost[1, 2], found.cost[1, 4]) == (1.0, 2.0)
    assert [*found.parts(1, 4)] == [(0, 0, 1), (0, 0, 1)]
    assert found.rate(1, 4, [[4.0, 4.0]]) == 4.0


def test_machines_that_do_not_begin_at_the_gate_are_not_limited():
    # Two begin, and one that carries all follows: cheaper than two that hold both layers.
    found = gated([1.0, 0.5], [[4, 0], [2, 0]], 2)
    assert [*found.parts(2, 4)] == [(1, 0, 1), (1, 0, 1), (0, 1, 2)]
    assert found.rate(2, 4, [[4.0, 0.0], [2.0, 0.0]]) == 4.0
