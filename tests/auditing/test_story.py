import pytest

from apex_opt.auditing.judge import Judge
from apex_opt.auditing.story import answer
from apex_opt.auditing.words import digits
from apex_opt.plan.solve import solve
from tests.auditing.gallery import HUGE, load, make, pool, timeless


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


def test_plans_that_lost_are_told_with_the_reason():
    spec = make(
        pools=pool(2), workload=load(40, 2000), slo="ttft_ms = { p99 = 1000 }", search="top_k = 2"
    )
    result, found = solve(spec), audit(spec)
    assert [a.plan for a in found.alternatives] == [
        *(plan.label for plan in result.plans[1:]),
        *(turned.label for turned in result.rejected[:5]),
    ]
    assert all(a.reason for a in found.alternatives)


def test_without_time_the_answer_is_undecided_and_says_so():
    found = answer(make(), Judge(0.0, lambda _: None))
    assert found.status == "undecided"
    assert found.text == (
        "not proved: no plan was found among 0 simulated, and none is excluded; "
        "raise `search.time_limit_s`, or lower `workload.requests`"
    )
    assert found.conflict is None


def test_two_conflicts_are_repaired_together():
    found = audit(make(**HUGE, pools=pool(1, gigabytes=100), slo="ttft_ms = { p99 = 1 }"))
    assert [c.code for c in found.conflicts] == ["memory.weights", "slo.unreachable"]
    for relaxation in found.relaxations:
        keys = [change.entry.key for change in relaxation.changes]
        assert "slo.ttft_ms.p99" in keys
        assert len(keys) == 2
        assert relaxation.smallest == "proved"


def test_the_same_spec_gives_the_same_answer():
    spec = make(limits="power_w = 150")
    assert audit(spec) == audit(spec)


def test_where_goodput_is_maximised_requests_that_come_late_are_no_conflict():
    spec = make(objective='maximize = "goodput"', slo="ttft_ms = 1", pools=pool(1))
    assert audit(spec).status == "feasible"
