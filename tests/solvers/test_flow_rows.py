import time

from apex_opt.solvers import flow_rows
from apex_opt.solvers.flow_rows import another_row, best_row
from apex_opt.solvers.flow_verify import faults, throughput
from tests.solvers.flows import WIDE, apart, flow

FOUR = flow(machines=(0,) * 4)


def test_the_best_row_is_found():
    placement = best_row(FOUR, WIDE, 0, time.monotonic() + 60)
    assert throughput(FOUR, placement) == 10


def test_a_large_question_is_answered_by_generating_blocks(monkeypatch):
    monkeypatch.setattr(flow_rows, "TABLE_WORK", 0)
    placement = best_row(FOUR, WIDE, 0, time.monotonic() + 60)
    assert throughput(FOUR, placement) == 10


def test_machines_that_a_row_does_without_have_an_interval_too():
    data = flow(machines=(0,) * 5)
    placement = best_row(data, WIDE, 0, time.monotonic() + 60)
    assert faults(data, placement) == []


def test_another_row_carries_what_is_asked():
    placement = another_row(FOUR, WIDE, 6.0, seed=1)
    assert throughput(FOUR, placement) >= 6


def test_no_row_carries_too_much():
    assert another_row(FOUR, WIDE, 100.0, seed=1) is None


def row(data, limit):
    placement = best_row(data, limit, 0, time.monotonic() + 60)
    assert faults(data, placement) == []
    return float(throughput(data, placement))


def test_a_row_crosses_slow_links_by_several_machines():
    # Half of the layers at each of two sites, three machines of 6 there, nine links of 2 between.
    rates = ((6.0, 6.0),)
    assert row(apart((0, 0, 0, 1, 1, 1), link=2.0, rates=rates), 18.0) == 18.0


def test_rows_stand_side_by_side_where_links_carry_next_to_nothing():
    # Links of 1 would carry 9 in a row; each site has a chain of two machines.
    assert row(apart((0, 0, 0, 1, 1, 1), link=1.0, rates=((6.0, 6.0),)), 18.0) == 12.0
    assert row(apart((0, 0, 1, 1), link=0.1, rates=((6.0, 5.0),)), 10.0) == 10.0
    assert row(apart((0, 0, 1, 1), link=0.0, rates=((6.0, 5.0),)), 10.0) == 10.0
