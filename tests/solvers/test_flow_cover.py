import pytest
from hypothesis import given, settings

from apex_opt.solvers.flow_cover import coverable
from apex_opt.solvers.flow_verify import throughput
from tests.solvers.flows import flows, placements


@pytest.mark.parametrize(("rate", "answer"), [(12.0, "yes"), (12.1, "no")])
def test_layers_are_covered_to_the_last_token(rate, answer):
    assert coverable(2, [[12.0]], [2], rate, 10.0) == answer


def test_machines_are_whole():
    # In parts, four layers of 12 are three machines; whole ones of one layer each are four.
    assert coverable(4, [[12.0]], [4], 12.0, 10.0) == "yes"
    assert coverable(4, [[12.0]], [3], 9.0, 10.0) == "no"


def test_intervals_that_do_not_align_are_told():
    # Two of rate 6 over 3 layers and two of rate 6 over 2: together 10 layers of 6, asked for are
    # 5 layers of 12, and 3 + 2 stands beside 3 + 2.
    rates = [[0.0, 0.0, 6.0], [0.0, 6.0]]
    assert coverable(5, rates, [2, 2], 12.0, 10.0) == "yes"
    # With 3 + 3 beside 2 + 2 + 2 one of the last is missing.
    assert coverable(6, rates, [2, 2], 12.0, 10.0) == "no"


def test_without_time_the_answer_is_unknown():
    rates = [[12.0, 5.0, 4.0, 3.0]]
    assert coverable(9, rates, [9], 7.0, 0.0) == "unknown"


@settings(max_examples=40, deadline=None)
@given(flows())
def test_what_flows_is_covered(data):
    most = max(float(throughput(data, placement)) for placement in placements(data))
    if most:
        assert coverable(data.layers, data.rates, data.counts, most, 10.0) == "yes"
