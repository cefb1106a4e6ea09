import pytest
from hypothesis import given, settings

from apex_opt.solvers.flow_bound import COARSE, bound, prices
from apex_opt.solvers.flow_verify import throughput
from tests.solvers.flows import flows, placements


def test_all_machines_at_work_all_the_time_is_a_bound():
    # Each of three machines does 2 x 5 = 10 layers times tokens, side by side if need be.
    assert bound(2, [[6.0, 5.0]], [3], 0.0) == pytest.approx(15.0, rel=2e-4)


def test_a_machine_that_carries_too_much_wastes_the_rest():
    # Two machines, two layers: each must be held whole, so 12 and not more is the least of both.
    assert bound(2, [[12.0]], [2], 0.0) == pytest.approx(12.0, rel=2e-4)


def test_the_bound_closes_in_on_what_is_reached():
    assert bound(2, [[12.0]], [2], 12.0) == pytest.approx(12.0, rel=2e-6)


def test_more_layers_than_machines_can_hold_cannot_be_covered():
    assert prices(9, [[12.0, 6.0]], [4], 1.0, COARSE).covered == pytest.approx(8.0)


def test_without_machines_nothing_is_carried():
    assert bound(2, [[0.0]], [3], 0.0) == 0.0


@settings(max_examples=30, deadline=None)
@given(flows())
def test_no_placement_exceeds_the_bound(data):
    most = max(float(throughput(data, placement)) for placement in placements(data))
    assert bound(data.layers, data.rates, data.counts, 0.0) >= most * (1 - 1e-12)
    assert bound(data.layers, data.rates, data.counts, most) >= most
