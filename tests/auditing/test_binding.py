"""What binds a spec that can be met, and what a step costs: held against every plan, simulated."""

import pytest

from apex_opt.auditing.story import answer
from apex_opt.auditing.words import digits
from apex_opt.plan.solve import solve
from tests.auditing.brute import labelled, least
from tests.auditing.gallery import load, make, pool, timeless

FAST = {"objective": 'minimize = "latency"', "slo": "", "workload": load(40, 1000)}
"""More devices make it faster; what they cost is a matter of the limits."""

CHEAP = {"pools": pool(4), "workload": load(60, 1000), "parallelism": "tensor = 1\nmax_stages = 1"}
"""Devices of 2 USD/h, as few as keep the levels."""


def audit(spec):
    return answer(spec, timeless())


def held(found):
    return {row.entry.key: row for row in found.held}


def test_a_limit_that_binds_is_told_with_what_it_costs_and_what_a_step_buys():
    # Without its limit of one device, latency is lowest on both.
    tables = {"objective": 'minimize = "latency"', "slo": "", "pools": pool(2)}
    found = audit(make(**tables, limits="devices = 1"))
    row = held(found)["limits.devices"]
    free = solve(make(**tables)).plans[0].objective
    assert (found.status, row.binds, row.proved) == ("feasible", True, True)
    assert (row.entry.value, row.used, row.slack) == ("1 device", "1 device", 0.0)
    assert row.without == pytest.approx(free)
    best = found.objective
    assert row.per_unit == pytest.approx(free - best)
    assert row.step == (
        f"1 device -> 2 devices: {digits(best)} -> {digits(free)} ms, "
        f"{digits(best - free)} ms for each device"
    )


def test_a_limit_that_does_not_bind_is_told_with_its_slack():
    found = audit(make(limits="devices = 4"))
    row = held(found)["limits.devices"]
    assert (row.binds, row.used, row.slack, row.step) == (False, "1 device", 75.0, None)
    assert found.held[-1].binds is False


def test_levels_are_told_with_what_the_best_plan_shows():
    found = audit(make(slo="ttft_ms = { p99 = 1000 }\ndrain_s = 30"))
    best = solve(make(slo="ttft_ms = { p99 = 1000 }\ndrain_s = 30")).plans[0].prediction
    row = held(found)["slo.ttft_ms.p99"]
    assert row.slack == pytest.approx(100 * (1 - best.ttft_ms.p99 / 1000))
    assert held(found)["slo.drain_s"].slack == pytest.approx(100 * (1 - best.drain_s / 30))


def worth(tables, key, table, one, more):
    """Return the row of an entry, and the objectives with one value and with more: of all plans."""
    specs = [make(**{**tables, table: written}) for written in (one, more)]
    return held(audit(specs[0]))[key], [least(spec) for spec in specs]


def test_a_kilowatt_buys_what_the_best_of_all_plans_within_it_does():
    row, (now, then) = worth(
        {**FAST, "pools": pool(2)}, "limits.power_w", "limits", "power_w = 800", "power_w = 1800"
    )
    assert then < now
    assert row.per_unit == pytest.approx((then - now) / 1000)
    assert row.step == (
        f"800 W -> 1,800 W: {digits(now)} -> {digits(then)} ms, "
        f"{digits((now - then) / 1000)} ms for each W"
    )


def test_a_kilowatt_of_a_pool_is_worth_as_much():
    row, (now, then) = worth(
        FAST,
        "pools.p.power_w",
        "pools",
        pool(2, more="power_w = 800"),
        pool(2, more="power_w = 1800"),
    )
    assert row.binds
    assert row.per_unit == pytest.approx((then - now) / 1000)


def test_a_dollar_an_hour_buys_what_the_best_of_all_plans_for_it_does():
    row, (now, then) = worth(
        {**FAST, "pools": pool(4)},
        "limits.budget_per_hour",
        "limits",
        "budget_per_hour = 3",
        "budget_per_hour = 4",
    )
    assert (row.used, row.slack) == ("2 USD/h", pytest.approx(100 / 3))
    assert row.per_unit == pytest.approx(then - now)
    assert row.step == (
        f"3 USD/h -> 4 USD/h: {digits(now)} -> {digits(then)} ms, "
        f"{digits(now - then)} ms for each USD/h"
    )


def test_a_node_buys_what_the_best_of_all_plans_on_it_does():
    row, (now, then) = worth(FAST, "pools.p.nodes", "pools", pool(1, nodes=1), pool(1, nodes=2))
    assert row.per_unit == pytest.approx(then - now)
    assert row.step == (
        f"1 node -> 2 nodes: {digits(now)} -> {digits(then)} ms, {digits(now - then)} ms "
        "for each node"
    )


def test_memory_that_is_kept_free_for_nothing_costs_nothing():
    # Replicas without the reserve have more blocks: they are others, and no better.
    found = audit(make(**CHEAP, slo="", limits="memory_reserve_fraction = 0.1"))
    row = held(found)["limits.memory_reserve_fraction"]
    assert (row.entry.value, row.binds, row.without, row.proved) == ("0.1", False, 2, True)


def test_milliseconds_buy_devices():
    # 80 ms are kept by three devices, 88 ms by two: 2 USD/h less for 8 ms more.
    row, prices = worth(
        CHEAP, "slo.ttft_ms.p99", "slo", "ttft_ms = { p99 = 80 }", "ttft_ms = { p99 = 88 }"
    )
    assert prices == [6, 4]
    assert row.per_unit == pytest.approx(-2 / 8)
    assert row.step == "80 ms -> 88 ms: 6 -> 4 USD/h, 0.25 USD/h for each ms"
    assert row.without == least(make(**CHEAP, slo="")) == 2


def test_milliseconds_that_buy_nothing_say_so():
    # Two devices need 81.7 ms.
    row, prices = worth(
        CHEAP, "slo.ttft_ms.p99", "slo", "ttft_ms = { p99 = 60 }", "ttft_ms = { p99 = 66 }"
    )
    assert prices == [6, 6]
    assert (row.binds, row.per_unit) == (True, 0.0)
    assert row.step == "60 ms -> 66 ms: buys nothing"
    assert row.without == 2


def test_a_share_of_the_requests_buys_devices_by_the_hundredth():
    row, prices = worth(
        CHEAP,
        "slo.attainment",
        "slo",
        "ttft_ms = 80\nattainment = 0.99",
        "ttft_ms = 80\nattainment = 0.891",
    )
    assert prices == [6, 4]
    assert row.per_unit == pytest.approx(2 / 0.099)
    assert row.step == "0.99 -> 0.891: 6 -> 4 USD/h, 0.202 USD/h for each 0.01"


def test_what_binds_is_proved_and_told_first():
    found = audit(make(**{**FAST, "pools": pool(2)}, limits="power_w = 800\ndevices = 2"))
    assert [row.binds for row in found.held] == sorted((r.binds for r in found.held), reverse=True)
    assert held(found)["limits.devices"].binds is False


def test_the_plans_that_came_nearest_are_told_with_the_level_that_each_misses():
    spec = make(**{**CHEAP, "parallelism": "max_stages = 1"}, slo="ttft_ms = { p99 = 60 }")
    found = audit(spec)
    every = {
        name: plan.outcome.prediction.ttft_ms.p99
        for name, plan in labelled(spec)
        if plan.missed is not None
    }
    told = [a for a in found.alternatives if "TTFT" in a.reason]
    assert [a.plan for a in told] == sorted(every, key=every.get)[: len(told)]
    assert [a.reason for a in told] == [f"TTFT p99 {every[a.plan]:.4g} ms > 60 ms" for a in told]
    assert len(told) == 3


def test_the_next_best_plans_are_told_with_how_much_they_cost_more():
    found = audit(make(**{**CHEAP, "parallelism": "max_stages = 1"}, slo="ttft_ms = { p99 = 60 }"))
    assert found.best == "3 x p TP1 bf16"
    assert found.alternatives[0].plan == "2 x p TP2 bf16"
    assert found.alternatives[0].reason == "8 USD/h against 6"


def test_plans_that_take_too_much_are_told_with_what_they_take():
    spec = make(**{**FAST, "pools": pool(2)}, limits="power_w = 800")
    drawn = {
        name: plan.outcome.power.total_w for name, plan in labelled(spec) if plan.missed is not None
    }
    told = [a for a in audit(spec).alternatives if a.plan in drawn]
    assert [a.plan for a in told] == sorted(drawn, key=drawn.get)[: len(told)]
    assert [a.reason for a in told] == [f"peak power {drawn[a.plan]:,.0f} W > 800 W" for a in told]
    assert len(told) >= 2
