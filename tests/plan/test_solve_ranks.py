import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import apex_opt
from apex_opt.plan.objective import GOALS
from apex_opt.plan.plan_file import from_plan
from apex_opt.plan.predict import play
from apex_opt.plan.problem import problem
from apex_opt.plan.solve import legal_candidates, parts_of, solve
from apex_opt.plan.tell import deployments_of
from apex_opt.report.command import serve_command
from apex_opt.trace.traffic import traffic
from tests.plan.bounds import assert_that_bounds_hold
from tests.plan.drawn import aim, assert_that_the_best_is_found, objectives, poisson, uniform
from tests.small_specs import spec

RANKED = {
    "model": 'name = "deepseek-v2-lite"',
    "parallelism": "tensor = [1, 2]\npipeline = 1\nattention_data = [1, 2, 4]",
}


@settings(max_examples=8, deadline=None)
@given(
    objective=objectives,
    rate=st.sampled_from([5.0, 60.0, 300.0]),
    slo=st.sampled_from(["ttft_ms = { p99 = 400 }", "ttft_ms = 300\ntpot_ms = 20"]),
    kinds=st.integers(1, 2),
    most=st.sampled_from([2, 4]),
)
def test_of_plans_with_and_without_ranks_the_best_is_found(objective, rate, slo, kinds, most):
    asked = spec(
        **RANKED,
        objective=objective,
        slo=slo,
        limits=f"devices = {most}",
        search=f"max_deployments = {kinds}\ngap = 0",
        workload=poisson(rate, 60, uniform(50, 900), 30),
    )
    assert_that_the_best_is_found(asked)


def test_a_plan_of_ranks_is_told_with_their_cache_places_and_command():
    tables = {
        "model": 'name = "deepseek-v2-lite"',
        "parallelism": "tensor = 1\nattention_data = 4\nexpert = 4",
        "pools": 'name = "h100"\ndevice = "h100-sxm-80gb"\nnodes = 2\ndevices_per_node = 6',
        "objective": 'minimize = "latency"',
        "limits": "replicas = 2",
    }
    asked = spec(**tables)
    (plan, *_) = solve(asked).plans
    (deployment,) = plan.deployments
    replica = deployment.replica
    assert replica.label == "h100 TP1 DP4 EP4 bf16"
    assert (plan.devices, deployment.share) == (4 * deployment.count, 1.0)
    assert all(len(places) == 1 and places[0].devices == 4 for places in deployment.nodes)
    (part,) = from_plan(asked, plan)
    assert replica.kv_blocks == 4 * part.candidate.rules.blocks
    assert apex_opt.simulate(asked, plan) == plan
    said = serve_command(deployment, "m").split(" \\\n  ")
    assert {"--data-parallel-size 4", "--enable-expert-parallel"} <= set(said)


def test_ranks_have_the_share_of_requests_that_all_of_them_are_meant_to_get():
    asked_spec = spec(**RANKED, search="max_deployments = 2")
    offered = traffic(asked_spec.workload, asked_spec.search.seed, asked_spec.folder)
    asked = problem(asked_spec, offered.load, legal_candidates(asked_spec, offered))
    labels = [c.replica.label for c in asked.candidates]
    wanted = {labels.index("h100 TP1 bf16"), labels.index("h100 TP1 DP2 EP2 bf16")}
    counts = tuple(int(r in wanted) for r in range(len(labels)))
    played = play(asked_spec, offered.load, parts_of(asked, counts))
    one, two = deployments_of(asked_spec, played.parts)
    assert one.share + two.share == pytest.approx(1.0)
    assert two.share == pytest.approx(2 * two.weight / (one.weight + 2 * two.weight))


def test_kinds_with_and_without_ranks_are_no_variants_of_one_another():
    asked_spec = spec(**RANKED)
    offered = traffic(asked_spec.workload, asked_spec.search.seed, asked_spec.folder)
    asked = problem(asked_spec, offered.load, legal_candidates(asked_spec, offered))
    assert len(set(asked.signatures)) == len(asked.candidates)


@pytest.mark.parametrize("objective", sorted(GOALS))
def test_no_plan_of_ranks_that_work_all_the_time_beats_its_bound(objective):
    # The work of all ranks is more than three times what one of them could do in the time.
    assert_that_bounds_hold(
        spec(
            model=RANKED["model"],
            parallelism="tensor = 1\nattention_data = 4\nexpert = 4",
            objective=aim(objective),
            slo="e2e_ms = 1000\nattainment = 0.1\ndrain_s = 0.5",
            workload=poisson(150.0, 300, 2000, 2),
        )
    )
