from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apex_opt.solvers.flow_verify import faults, throughput
from tests.solvers.flows import flow, flows, least_cut, placements

FEW = settings(max_examples=40, deadline=None)


def test_a_chain_carries_what_its_slowest_machine_does():
    # 3 layers at 4, then 1 at 6; the third machine stands beside the second.
    assert throughput(flow(), ((0, 3), (3, 4), (3, 4))) == 4


def test_machines_side_by_side_add_up():
    assert throughput(flow(), ((0, 2), (2, 4), (2, 4))) == 5
    assert throughput(flow(machines=(0,) * 4), ((0, 2), (2, 4), (2, 4), (0, 2))) == 10


def test_a_slow_link_limits_what_flows_over_it():
    links = ((0.0, 1.5, 1e9), (1e9,) * 3, (1e9,) * 3)
    assert throughput(flow(links=links), ((0, 2), (2, 4), (0, 1))) == Fraction(3, 2)


def test_nothing_flows_where_a_layer_is_missing():
    assert throughput(flow(), ((0, 2), (0, 2), (3, 4))) == 0


def test_a_flow_may_have_to_be_led_back():
    # The shortest path takes [0, 2) [2, 4); both others then need the way back.
    data = flow(rates=((9.0, 1.0, 1.0),), machines=(0, 0, 0, 0))
    assert throughput(data, ((0, 2), (2, 4), (0, 3), (3, 4))) == 2


@FEW
@given(flows(), st.data())
def test_the_flow_is_the_least_cut(data, draw):
    placement = draw.draw(st.sampled_from([*placements(data)]))
    assert float(throughput(data, placement)) == least_cut(data, placement)


@pytest.mark.parametrize(
    ("placement", "fault"),
    [
        (((0, 1),), "there are 1 intervals for 3 machines"),
        (((0, 0), (0, 1), (0, 1)), "machine 0: [0, 0) is no interval of the 4 layers"),
        (((0, 1), (3, 5), (0, 1)), "machine 1: [3, 5) is no interval of the 4 layers"),
        (((0, 1), (0, 1), (0, 4)), "machine 2: 4 layers, it holds at most 3"),
    ],
)
def test_what_is_no_placement_is_told(placement, fault):
    assert faults(flow(), placement) == [fault]


def test_a_placement_has_no_faults():
    assert faults(flow(), ((0, 3), (3, 4), (3, 4))) == []
