from dataclasses import replace

import pytest
from hypothesis import given, settings

from apex_opt.solvers.placement import LIMITS, STRUCTURE, build, fastest_rate, flow_ns, solve
from apex_opt.solvers.placement_graph import graph
from apex_opt.solvers.placement_verify import faults, latency_ns, period_ns
from tests.solvers.placements import group, plans, question, questions

FEW = settings(max_examples=60, deadline=None)


def test_equal_groups_share_layers_evenly():
    found = solve(question(group()))
    assert (found.status, found.value, found.bound) == ("optimal", 20, 20)
    assert sorted(last - first for _, first, last in found.pipelines[0]) == [1, 2, 2]


def test_a_fast_group_takes_more_layers():
    fast = group(pool=1, memory_bytes=9, layers_ns=((0, 5, 10, 15, 20, 25),))
    found = solve(question(group(), fast, stock=(2, 1)))
    # Three layers on the fast one take 15, and two on slow ones 10 each.
    assert (found.value, found.status) == (15, "optimal")


def test_times_that_do_not_grow_are_made_use_of():
    # Three layers are faster than two, as some kernels are.
    found = solve(question(group(layers_ns=((0, 10, 20, 12),)), runs=((0, 6),)))
    assert found.value == 12


def test_the_least_latency_uses_few_stages():
    found = solve(question(group(), hop_ns=((100,),)), "latency")
    assert (found.value, len(found.pipelines[0])) == (150, 2)


def test_what_fits_nowhere_is_proved_infeasible():
    found = solve(question(group(), stock=(1,)))
    assert (found.status, found.pipelines, found.bound) == ("infeasible", (), None)


def test_without_time_nothing_is_claimed():
    found = solve(question(group()), time_limit_s=0.0)
    assert found.status == "unknown"
    assert found.pipelines == ()


@pytest.mark.parametrize("rule", LIMITS)
def test_every_limit_is_one_rule(rule):
    data = question(group(power_mw=5), stages=3, power_mw=10, latency_ns=1000, stock=(2,))
    rules = STRUCTURE + tuple(other for other in LIMITS if other is not rule)
    model, _ = build(data, graph(data), rules=rules)
    names = {constraint.name.split(":")[0] for constraint in model.proto.constraints}
    assert names == {other.__name__ for other in rules}


@FEW
@given(questions())
def test_the_least_period_is_that_of_enumeration(data):
    found, best = solve(data), min((period_ns(data, plan) for plan in plans(data)), default=None)
    assert found.value == best
    assert found.status == ("infeasible" if best is None else "optimal")
    if best is not None:
        assert faults(data, found.pipelines) == []
        assert period_ns(data, found.pipelines) == best == found.bound


@FEW
@given(questions())
def test_the_least_latency_is_that_of_enumeration(data):
    def latency(plan):
        return sum(latency_ns(data, pipeline) for pipeline in plan)

    found, best = solve(data, "latency"), min(map(latency, plans(data)), default=None)
    assert found.value == best
    assert found.status == ("infeasible" if best is None else "optimal")
    if best is not None:
        assert faults(data, found.pipelines) == []
        assert latency(found.pipelines) == best == found.bound


@FEW
@given(questions())
def test_no_period_is_below_the_flow_through_all_groups(data):
    values = [period_ns(data, plan) for plan in plans(data)]
    assert flow_ns(data) <= min(values, default=flow_ns(data))


def test_the_flow_through_groups_of_unlike_speed_adds_up():
    # 5 layers at 10 ns on one device, and at 40 ns on another: 1 / (1 / 50 + 1 / 200).
    slow = group(pool=1, layers_ns=((0, 40, 80, 120, 160, 200),))
    assert flow_ns(question(group(), slow, stock=(1, 1))) == 39


def test_more_pipelines_are_started_while_they_give_more():
    # Two groups a pipeline of 30, or three of 20: two pipelines of 30 are the most for four.
    found, bound = fastest_rate(question(group(), stock=(4,)), most=3)
    assert (len(found.pipelines), found.value, found.status) == (2, 30, "optimal")
    assert bound == pytest.approx(2 / 30)


@settings(max_examples=25, deadline=None)
@given(questions())
def test_the_greatest_rate_is_that_of_enumeration(data):
    found, bound = fastest_rate(data, most=2)
    rates = [
        count / period_ns(asked, plan)
        for count in (1, 2)
        for asked in [replace(data, pipelines=count)]
        for plan in plans(asked)
        if period_ns(asked, plan)
    ]
    if rates:
        assert found.value is not None
        assert len(found.pipelines) / max(found.value, 1e-9) >= max(rates) * (1 - 1e-12)
        assert bound >= max(rates) * (1 - 1e-12)
