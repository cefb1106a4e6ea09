import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import apex_opt
from apex_opt.errors import CallError
from apex_opt.plan.objective import GOALS
from apex_opt.plan.plan_file import from_plan
from apex_opt.plan.solve import legal_candidates, solve
from apex_opt.plan.use import Part, peak_in_w
from apex_opt.trace.traffic import traffic
from tests.plan.bounds import assert_that_bounds_hold
from tests.plan.drawn import aim, assert_that_the_best_is_found, poisson
from tests.small_specs import spec

ACROSS = {
    "model": 'name = "llama-3.2-3b"',
    "pools": (
        # No device holds the 6.4 GB of the model; all three do.
        'name = "a100"\ndevice = { base = "a100-sxm-40gb", memory_bytes = 6_200_000_000 }\n'
        "nodes = 1\ndevices_per_node = 1\nprice_per_device_hour = 1.6\n"
        "[[pools]]\n"
        'name = "l4"\ndevice = { base = "l4", memory_bytes = 5_200_000_000 }\n'
        "nodes = 2\ndevices_per_node = 1\nprice_per_device_hour = 0.7"
    ),
    "parallelism": "cross_pool = true\nmax_stages = 3\ntensor = 1",
    "engine": "max_num_seqs = 32\nmax_num_batched_tokens = 512\ncuda_graphs = false",
}


@pytest.mark.parametrize("objective", sorted(GOALS))
@settings(max_examples=4, deadline=None)
@given(
    rate=st.sampled_from([1.0, 6.0]),
    slo=st.sampled_from(["ttft_ms = { p99 = 3000 }", "ttft_ms = 2000\ntpot_ms = 60"]),
    power_w=st.sampled_from([None, 150, 400]),
)
def test_of_plans_over_two_pools_the_best_is_found(objective, rate, slo, power_w):
    pools = ACROSS["pools"]
    if power_w is not None:
        pools = pools.replace("nodes = 1\n", f"nodes = 1\npower_w = {power_w}\n")
    asked = spec(
        **ACROSS
        | {
            "pools": pools,
            "objective": aim(objective),
            "slo": slo,
            "search": "gap = 0",
            "workload": poisson(rate, 40, 300, 30),
        }
    )
    assert_that_bounds_hold(asked)
    assert_that_the_best_is_found(asked)


def test_a_plan_over_two_pools_is_told_with_its_stages_and_played_again_the_same():
    tables = ACROSS | {
        "slo": "ttft_ms = { p99 = 5000 }",
        "workload": poisson(1.0, 40, 300, 30),
        "parallelism": "cross_pool = true\npipeline = 3\ntensor = 1",
        "objective": 'minimize = "latency"',
    }
    asked = spec(**tables)
    (plan, *_) = solve(asked).plans
    (deployment,) = plan.deployments
    replica = deployment.replica
    assert sorted(s.pool for s in replica.stages) == ["a100", "l4", "l4"]
    assert tuple(s.layers for s in replica.stages) == replica.stage_layers
    assert sum(replica.stage_layers) == 28
    assert plan.cost_per_hour == pytest.approx(1.6 + 2 * 0.7)
    assert {b.limit: b.used for b in plan.limits} == {
        "pools.a100.devices": 1.0,
        "pools.l4.devices": 2.0,
    }
    ((*places,),) = deployment.nodes
    assert [(at.stage, at.pool, at.devices) for at in places] == [
        (stage, told.pool, 1) for stage, told in enumerate(replica.stages)
    ]
    assert len({(at.pool, at.node) for at in places}) == 3
    (part,) = from_plan(asked, plan)
    assert part.candidate.shape.stage_layers == replica.stage_layers
    assert apex_opt.simulate(asked, plan) == plan
    odd = replica.model_copy(update={"stages": replica.stages[:2]})
    broken = plan.model_copy(
        update={"deployments": (deployment.model_copy(update={"replica": odd}),)}
    )
    with pytest.raises(CallError) as caught:
        from_plan(asked, broken)
    assert str(caught.value) == "the plan has `stages` that are not those of `stage_layers`"


def test_what_a_plan_draws_of_a_pool_is_bounded_by_its_devices_there():
    asked_spec = spec(**ACROSS)
    offered = traffic(asked_spec.workload, asked_spec.search.seed, asked_spec.folder)
    both = [c for c in legal_candidates(asked_spec, offered) if c.also]
    part = Part(both[0], 1, 1)
    idle = [both[0].idle_in(p) for p in (0, 1)]
    assert peak_in_w(part, part.idle_w, 0) == pytest.approx(idle[0])
    assert peak_in_w(part, part.idle_w + 10, 0) == pytest.approx(idle[0] + 10)
    # An A100 draws 400 W at most, an L4 72 W.
    assert peak_in_w(part, 5000.0, 0) == 400
    assert peak_in_w(part, 5000.0, 1) == 72 * both[0].devices_in(1)
    assert peak_in_w(part, 5000.0, 2) == 0
