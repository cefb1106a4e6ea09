from dataclasses import replace

import pytest
from hypothesis import given, settings

from apex_opt.solvers import placement
from apex_opt.solvers.placement import Placed, fastest_rate, flow_ns, solve
from apex_opt.solvers.placement_graph import graph
from apex_opt.solvers.placement_rules import LIMITS, STRUCTURE, build
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


def test_questions_that_are_not_answered_in_time_are_passed_over(monkeypatch):
    # Two groups need 30, which nobody says; with three the slowest takes 20.
    within = placement._within

    def silent_at_30(data, g, slowest_ns, until):
        if slowest_ns == 30:
            return Placed("unknown", (), None, None)
        return within(data, g, slowest_ns, until)

    monkeypatch.setattr(placement, "_within", silent_at_30)
    found = solve(question(group(memory_bytes=4), stock=(2,)))
    assert (found.status, found.value, found.bound) == ("feasible", 40, 30)


def test_pipelines_with_unlike_hops_begin_with_equal_ones_and_are_proved_by_the_shortest_hop():
    # Two pools of two devices and a slow way between them: each pipeline stays in its pool.
    far = question(group(), group(pool=1), stock=(2, 2), hop_ns=((1, 99), (99, 1)), pipelines=2)
    found = solve(far)
    assert (found.status, found.value, found.bound) == ("optimal", 30, 30)
    assert faults(far, found.pipelines) == []


def test_stages_of_one_pipeline_have_unlike_tensor_degrees():
    # One pool of three devices: two share the layers that one of them alone is too slow for.
    alone, pair = group(), group(devices=2, memory_bytes=6, layers_ns=((0, 5, 10, 15, 20, 25),))
    found = solve(question(alone, pair, stock=(3,), stages=2))
    assert (found.value, found.status) == (20, "optimal")
    assert sorted(stage[0] for stage in found.pipelines[0]) == [0, 1]


def test_the_last_stage_has_fewer_layers_where_the_head_takes_its_memory():
    # Six layers on two devices with room for four units; the head takes two of the last.
    small = group(memory_bytes=4, layer_bytes=(1, 2), layers_ns=((0, 10, 20, 30, 40), (0, 1)))
    found = solve(question(small, runs=((0, 6), (1, 1)), stock=(2,)))
    assert (found.status, found.pipelines) == ("optimal", (((0, 0, 4), (0, 4, 7)),))


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
