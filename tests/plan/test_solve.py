import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apex_opt.errors import CallError, InfeasibleError
from apex_opt.plan.predict import play
from apex_opt.plan.problem import problem
from apex_opt.plan.solve import legal_candidates, parts_of, solve, tried
from apex_opt.plan.tell import proof_of
from apex_opt.plan.tried import Found
from apex_opt.sim.replica import EndlessRunError
from apex_opt.trace.traffic import traffic
from benchmarks.exhaustive import best_of_all
from tests.plan.drawn import (
    aim,
    assert_that_the_best_is_found,
    levels,
    limits,
    objectives,
    poisson,
    rates,
    uniform,
)
from tests.small_specs import TABLES, TWO_POOLS, spec


@settings(max_examples=15, deadline=None)
@given(
    objective=objectives,
    rate=rates,
    slo=levels,
    limits=limits,
    pools=st.sampled_from([TABLES["pools"], TWO_POOLS]),
    seed=st.integers(0, 3),
    cp_sat=st.booleans(),
)
def test_the_plan_is_the_best_of_simulating_every_plan(
    objective, rate, slo, limits, pools, seed, cp_sat
):
    asked = spec(
        objective=objective,
        slo=slo,
        limits=limits,
        pools=pools,
        workload=poisson(rate, 80, uniform(50, 900), 40) + f"\nseed = {seed}",
        parallelism="pipeline = [1, 2]\nmax_stages = 2",
    )
    assert_that_the_best_is_found(asked, cp_sat=cp_sat)


def test_a_plan_whose_run_has_no_end_is_turned_down(monkeypatch):
    def no_end(*_):
        raise EndlessRunError("sequences preempt each other")

    monkeypatch.setattr("apex_opt.plan.solve.play", no_end)
    with pytest.raises(InfeasibleError) as caught:
        solve(spec(parallelism="tensor = 4\npipeline = 1"))
    assert str(caught.value) == (
        "no plan meets the spec: all 1 that the bounds allow were simulated\n"
        "  1 x h100 TP4 bf16: cannot be simulated: sequences preempt each other"
    )


def test_the_result_says_what_was_proved():
    result = solve(spec())
    proof = result.proof
    assert proof.text == (
        f"proved optimal for this traffic and seed: {proof.simulated} plans simulated, "
        f"{proof.space} in the space"
    )
    assert (proof.best, proof.gap) == (result.plans[0].objective, 0.0)
    assert [p.rank for p in result.plans] == list(range(1, len(result.plans) + 1))


def test_the_same_spec_gives_the_same_bytes():
    first, second = (solve(spec()).model_copy(update={"solve_s": 0.0}) for _ in range(2))
    assert first.model_dump_json() == second.model_dump_json()


def test_replicas_stand_in_nodes():
    result = solve(
        spec(
            workload=(
                'arrival = "poisson"\nrate_rps = 150.0\nrequests = 300\n'
                "prompt_tokens = 500\noutput_tokens = 60"
            )
        )
    )
    for plan in result.plans:
        for deployment in plan.deployments:
            assert len(deployment.nodes) == deployment.count
            for places in deployment.nodes:
                assert sum(p.devices for p in places) == deployment.replica.devices


def test_a_plan_that_is_not_proved_says_how_far_it_may_be_from_the_best():
    asked = spec(objective='minimize = "latency"')
    offered = traffic(asked.workload, asked.search.seed, asked.folder)
    about = problem(asked, offered.load, legal_candidates(asked, offered))
    plan = (1,) + (0,) * (len(about.candidates) - 1)
    one = tried(asked, plan, play(asked, offered.load, parts_of(about, plan)))
    found = Found(best=[one], bound=one.objective / 2, simulated=1)
    proof = proof_of(asked, about, found)
    assert (proof.status, proof.gap) == ("feasible", 0.5)
    assert proof.text == (
        f"not proved: gap 50.00% to the bound of {one.objective / 2:,.4g} ms; "
        f"1 plan simulated, {proof.space} in the space"
    )


def test_power_in_a_closed_loop_is_at_least_that_of_idle_devices():
    asked = spec(
        workload=(
            'arrival = "closed"\nconcurrency = 4\nrequests = 40\n'
            "prompt_tokens = 500\noutput_tokens = 60"
        ),
        objective='minimize = "power"',
    )
    best, _ = best_of_all(asked)
    plan = solve(asked).plans[0]
    assert plan.objective == best
    assert plan.objective > 85 * plan.devices


def test_a_device_without_a_price_is_asked_for_one():
    pools = 'name = "p"\ndevice = "gh200-144gb"\nnodes = 1\npower_cap_w = 700'
    with pytest.raises(CallError) as caught:
        solve(spec(pools=pools))
    assert str(caught.value) == (
        "pools: no price of `gh200-144gb` is known; write `price_per_device_hour` in pool `p`"
    )


def test_every_request_longer_than_the_model_is_a_wrong_call():
    with pytest.raises(CallError) as caught:
        solve(
            spec(
                workload=(
                    'arrival = "poisson"\nrate_rps = 1.0\nrequests = 5\n'
                    "prompt_tokens = 200000\noutput_tokens = 60"
                )
            )
        )
    assert str(caught.value) == (
        "workload: every request is longer than `model.max_context` = 131,072 tokens; "
        "the shortest has 200,060"
    )


def test_a_closed_loop_is_planned_by_its_clients():
    result = solve(
        spec(
            workload=(
                'arrival = "closed"\nconcurrency = 16\nrequests = 100\n'
                "prompt_tokens = 500\noutput_tokens = 60"
            ),
            slo="tpot_ms = { p99 = 30 }",
        )
    )
    assert result.proof.status == "optimal"
    assert all(c.metric != "drain_s" for c in result.plans[0].checks)


def test_a_rate_cannot_be_maximised_in_a_closed_loop():
    with pytest.raises(CallError) as caught:
        solve(
            spec(
                workload=(
                    'arrival = "closed"\nconcurrency = 16\nrequests = 100\n'
                    "prompt_tokens = 500\noutput_tokens = 60"
                ),
                objective='maximize = "throughput"',
            )
        )
    assert str(caught.value) == (
        'objective: `maximize = "throughput"` needs traffic with a rate; '
        'a closed loop sends what is served: minimize "cost" or "latency" instead'
    )


@pytest.mark.parametrize("objective", ["cost", "goodput"])
def test_prompts_longer_than_any_step_are_served_by_no_plan(objective):
    asked = spec(
        engine='name = "tensorrt-llm"\nchunked_prefill = false\nmax_num_batched_tokens = 600',
        parallelism="tensor = 1\npipeline = 1",
        objective=aim(objective),
        workload=poisson(5.0, 60, 2000, 4),
    )
    if objective == "goodput":
        assert solve(asked).plans[0].objective == 0.0
        return
    with pytest.raises(InfeasibleError) as caught:
        solve(asked)
    assert str(caught.value) == (
        "no plan meets the spec, even with every request alone on idle devices: completed (60 of "
        "60 requests are longer than `model.max_context`, or their prompt than "
        "`max_num_batched_tokens`)"
    )
