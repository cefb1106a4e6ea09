import math

import pytest

from apex_opt.auditing.demand import carried
from apex_opt.auditing.judge import Judge
from apex_opt.auditing.story import answer, known_entries
from tests.auditing.brute import plans_of
from tests.auditing.gallery import WORKLOAD, load, make, pool, timeless

ONE = {"pools": pool(1), "slo": "ttft_ms = { p50 = 200 }"}


def meets(spec):
    return any(plan.missed is None for plan in plans_of(spec))


def closed(clients):
    return make(**ONE, workload=WORKLOAD % ("closed", 2000, f"concurrency = {clients}"))


def poisson(rate):
    return make(**ONE, workload=load(rate, 2000))


def test_as_many_requests_are_carried_as_some_plan_serves_and_five_percent_more_are_not():
    found = answer(poisson(4), timeless()).carried
    assert found.entry.key == "workload.rate_rps"
    assert meets(poisson(found.number))
    assert not meets(poisson(found.number * 1.05))
    assert found.value == f"{found.number:.4g} requests/s"


def test_clients_are_counted_to_the_last_one():
    found = answer(closed(2), timeless()).carried
    assert (found.entry.key, found.value) == ("workload.concurrency", f"{found.number:.0f} clients")
    assert meets(closed(round(found.number)))
    assert not meets(closed(round(found.number) + 1))


def test_what_bounds_exclude_no_plan_serves():
    found = answer(poisson(4), timeless()).carried
    number = float(found.barred.partition(" ")[0])
    assert found.number < number <= 16 * 4
    assert not meets(poisson(number))


def test_up_to_sixteen_times_the_demand_is_looked_at():
    found = answer(make(pools=pool(4), workload=load(1)), timeless()).carried
    assert found.barred is None
    assert 16 / 1.05 <= found.number <= 16


def test_a_trace_is_played_faster():
    spec = make(**ONE, workload='arrival = "trace"\nfile = "trace.csv"\ntime_scale = 20')
    found = answer(spec, timeless()).carried
    assert found.entry.key == "workload.time_scale"
    assert 20 / 16 <= found.number < 20


def test_where_no_entry_says_how_much_demand_there_is_nothing_is_told_of_it():
    assert answer(closed(1), timeless()).carried is None


def test_without_time_the_demand_of_the_spec_is_what_is_known_to_be_carried(judge):
    spec = poisson(4)
    entries = known_entries(spec, judge, judge.ask(spec))
    found = carried(Judge(-math.inf, lambda _: None), spec, entries, "1 x p TP1 bf16")
    assert (found.number, found.plan) == (pytest.approx(4), "1 x p TP1 bf16")
