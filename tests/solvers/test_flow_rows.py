import time

from apex_opt.solvers import flow_rows
from apex_opt.solvers.flow_rows import another_row, best_row
from apex_opt.solvers.flow_verify import faults, throughput
from tests.solvers.flows import flow

FOUR = flow(machines=(0,) * 4)


def test_the_best_row_carries_what_it_says():
    placement, rate = best_row(FOUR, 0, time.monotonic() + 60)
    assert rate == 10.0 == throughput(FOUR, placement)


def test_a_large_question_is_answered_by_generating_blocks(monkeypatch):
    monkeypatch.setattr(flow_rows, "TABLE_WORK", 0)
    placement, rate = best_row(FOUR, 0, time.monotonic() + 60)
    assert rate == 10.0 == throughput(FOUR, placement)


def test_machines_that_a_row_does_without_have_an_interval_too():
    data = flow(machines=(0,) * 5)
    placement, _ = best_row(data, 0, time.monotonic() + 60)
    assert faults(data, placement) == []


def test_another_row_carries_what_is_asked():
    placement = another_row(FOUR, 6.0, seed=1)
    assert throughput(FOUR, placement) >= 6


def test_no_row_carries_too_much():
    assert another_row(FOUR, 100.0, seed=1) is None
