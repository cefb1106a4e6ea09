import time

import pytest
from hypothesis import given, settings

from apex_opt.solvers.flow_anneal import Annealing
from apex_opt.solvers.flow_verify import faults, throughput
from tests.solvers.flows import flow, flows

START = ((0, 3), (0, 3), (0, 3))


def test_a_bad_start_is_left():
    found, placement = Annealing(flow(), 6.0).run(START, 2_000, 0.05, seed=0)
    assert found == 6.0 == float(throughput(flow(), placement))


def test_machines_with_a_slow_link_between_them_are_kept_apart():
    # Only 0 -> 1 and 2 -> 1 carry more than 1, so 1 must hold the last layers.
    links = ((0.0, 9.0, 1.0), (1.0, 0.0, 1.0), (1.0, 9.0, 0.0))
    found, placement = Annealing(flow(links=links), 6.0).run(START, 5_000, 0.05, seed=0)
    assert found == 6.0
    assert placement[1][1] == 4


def test_the_same_seed_gives_the_same_placement():
    run = Annealing(flow(machines=(0,) * 5), 20.0).run
    start = ((0, 3),) * 5
    assert run(start, 3_000, 0.05, seed=7) == run(start, 3_000, 0.05, seed=7)


@settings(max_examples=30, deadline=None)
@given(flows())
def test_the_flow_that_it_tells_is_the_flow_that_is(data):
    start = tuple((0, data.holds(i)) for i in range(len(data.machines)))
    found, placement = Annealing(data, 10.0).run(start, 300, 0.05, seed=1)
    assert faults(data, placement) == []
    assert found == pytest.approx(float(throughput(data, placement)))


def test_gentle_moves_change_only_which_machine_of_a_type_stands_where():
    # Three chains of one layer each; only 0 -> 1 -> 2 has links.
    links = ((0.0, 9.0, 0.0), (0.0, 0.0, 9.0), (0.0, 0.0, 0.0))
    data = flow(layers=3, rates=((6.0,),), links=links)
    start = ((2, 3), (0, 1), (1, 2))
    found, placement = Annealing(data, 6.0).run(start, 2_000, 0.05, seed=0, gentle=True)
    assert found == 6.0
    assert placement == ((0, 1), (1, 2), (2, 3))


def test_a_run_stops_when_its_time_is_over():
    begin = time.monotonic()
    Annealing(flow(), 9.0).run(START, 10**9, 0.05, seed=0, until=begin + 0.1)
    assert time.monotonic() - begin < 60
