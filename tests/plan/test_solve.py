import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

import apex_opt
from apex_opt.errors import CallError, InfeasibleError, UndecidedError
from apex_opt.plan.objective import GOALS, goal
from apex_opt.plan.plan_file import from_plan
from apex_opt.plan.predict import play
from apex_opt.plan.problem import problem
from apex_opt.plan.search import Found, better
from apex_opt.plan.solve import legal_candidates, parts_of, solve, tried
from apex_opt.plan.tell import deployments_of, proof_of
from apex_opt.plan.use import Part, peak_in_w
from apex_opt.report.command import serve_command
from apex_opt.sim.replica import EndlessRunError
from apex_opt.solvers.fleet_verify import faults, value
from apex_opt.trace.traffic import traffic
from benchmarks.exhaustive import best_of_all
from benchmarks.exhaustive import plans as every_plan
from tests.small_specs import TABLES, spec

TWO_POOLS = (
    'name = "h100"\ndevice = "h100-sxm-80gb"\nnodes = 1\ndevices_per_node = 2\n'
    "[[pools]]\n"
    'name = "l40s"\ndevice = "l40s"\nnodes = 1\ndevices_per_node = 2'
)


@settings(max_examples=15, deadline=None)
@given(
    objective=st.sampled_from(
        [
            'minimize = "cost"',
            'minimize = "devices"',
            'minimize = "latency"',
            'minimize = "energy"',
            'minimize = "power"',
            'maximize = "goodput"',
            'maximize = "throughput"',
        ]
    ),
    rate=st.sampled_from([5.0, 40.0, 150.0]),
    slo=st.sampled_from(
        [
            "ttft_ms = { p99 = 400 }",
            "tpot_ms = 9",
            "ttft_ms = 300\ntpot_ms = { p50 = 12 }",
            "e2e_ms = 900\nattainment = 0.5\ndrain_s = 0.5",
        ]
    ),
    limits=st.sampled_from(
        ["", "devices = 2", "replicas = 2", "power_w = 900", "budget_per_hour = 6"]
    ),
    pools=st.sampled_from(["", TWO_POOLS]),
    seed=st.integers(0, 3),
)
def test_the_plan_is_the_best_of_simulating_every_plan(objective, rate, slo, limits, pools, seed):
    tables = {
        "objective": objective,
        "slo": slo,
        "limits": limits,
        "workload": (
            f'arrival = "poisson"\nrate_rps = {rate}\nrequests = 80\nseed = {seed}\n'
            'prompt_tokens = { distribution = "uniform", low = 50, high = 900 }\n'
            "output_tokens = 40"
        ),
        "parallelism": "pipeline = [1, 2]\nmax_stages = 2",
    }
    if pools:
        tables["pools"] = pools
    asked = spec(**tables)
    best, plans = best_of_all(asked)
    if best is None:
        with pytest.raises(InfeasibleError):
            solve(asked)
        return
    result = solve(asked)
    chosen = goal(asked.objective)
    assert result.proof.status == "optimal"
    assert result.proof.space == plans
    assert not better(chosen, best, result.plans[0].objective)
    assert not better(chosen, result.plans[0].objective, best)


@settings(max_examples=6, deadline=None)
@given(
    objective=st.sampled_from(
        ['minimize = "cost"', 'minimize = "latency"', 'minimize = "energy"', 'maximize = "goodput"']
    ),
    rate=st.sampled_from([10.0, 40.0]),
    slo=st.sampled_from(["ttft_ms = { p99 = 300 }", "ttft_ms = 300\ntpot_ms = { p50 = 12 }"]),
    seed=st.integers(0, 3),
)
def test_with_routing_by_length_the_plan_is_the_best_of_both_ways(objective, rate, slo, seed):
    asked = spec(
        pools=TWO_POOLS,
        objective=objective,
        slo=slo,
        routing="by_class = true",
        parallelism="pipeline = [1]",
        workload=(
            f'arrival = "poisson"\nrate_rps = {rate}\nrequests = 80\nseed = {seed}\n'
            'prompt_tokens = { distribution = "uniform", low = 50, high = 4000 }\n'
            "output_tokens = 40"
        ),
        search="gap = 0",
    )
    best, plans = best_of_all(asked)
    if best is None:
        with pytest.raises(InfeasibleError):
            solve(asked)
        return
    result, chosen = solve(asked), goal(asked.objective)
    assert (result.proof.status, result.proof.space) == ("optimal", plans)
    assert result.proof.text.endswith(f"{plans} in the space, routed both ways")
    assert not better(chosen, best, result.plans[0].objective)
    assert not better(chosen, result.plans[0].objective, best)


APART = {
    "formats": {"quantization": 'kv_cache = ["bf16", "fp8"]'},
    "pools": {"pools": TWO_POOLS, "search": "max_deployments = 1\ngap = 0"},
    "settings": {"engine": "max_num_batched_tokens = [512, 2048]"},
    "spare": {"pools": TABLES["pools"] + "\nspare_replicas = 1"},
}


@settings(max_examples=12, deadline=None)
@given(
    tables=st.sampled_from(sorted(APART)),
    objective=st.sampled_from(
        [
            'minimize = "cost"',
            'minimize = "latency"',
            'minimize = "energy"',
            'minimize = "power"',
            'maximize = "goodput"',
            'maximize = "throughput"',
        ]
    ),
    rate=st.sampled_from([5.0, 40.0, 150.0]),
    slo=st.sampled_from(
        [
            "ttft_ms = { p99 = 200 }",
            "tpot_ms = 9",
            "ttft_ms = 300\ntpot_ms = { p50 = 12 }",
            "e2e_ms = 900\nattainment = 0.5\ndrain_s = 0.5",
        ]
    ),
    outputs=st.sampled_from(["40", '{ distribution = "uniform", low = 1, high = 60 }']),
    disaggregate=st.sampled_from(["true", "true", '"only"']),
)
def test_of_plans_with_prefill_and_decode_apart_the_best_is_found(
    tables, objective, rate, slo, outputs, disaggregate
):
    asked = spec(
        **({"search": "gap = 0"} | APART[tables]),
        objective=objective,
        slo=slo,
        parallelism=f"tensor = [1, 2]\npipeline = 1\ndisaggregate = {disaggregate}",
        workload=(
            f'arrival = "poisson"\nrate_rps = {rate}\nrequests = 60\n'
            'prompt_tokens = { distribution = "uniform", low = 50, high = 1900 }\n'
            f"output_tokens = {outputs}"
        ),
    )
    best, plans = best_of_all(asked)
    if best is None:
        with pytest.raises(InfeasibleError):
            solve(asked)
        return
    result = solve(asked)
    chosen = goal(asked.objective)
    assert result.proof.space == plans
    assert not better(chosen, best, result.plans[0].objective)
    assert not better(chosen, result.plans[0].objective, best)


RANKED = {
    "model": 'name = "deepseek-v2-lite"',
    "parallelism": "tensor = [1, 2]\npipeline = 1\nattention_data = [1, 2, 4]",
}


@settings(max_examples=8, deadline=None)
@given(
    objective=st.sampled_from(
        [
            'minimize = "cost"',
            'minimize = "latency"',
            'minimize = "power"',
            'maximize = "goodput"',
        ]
    ),
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
        workload=(
            f'arrival = "poisson"\nrate_rps = {rate}\nrequests = 60\n'
            'prompt_tokens = { distribution = "uniform", low = 50, high = 900 }\n'
            "output_tokens = 30"
        ),
    )
    best, _ = best_of_all(asked)
    if best is None:
        with pytest.raises(InfeasibleError):
            solve(asked)
        return
    result = solve(asked)
    chosen = goal(asked.objective)
    assert not better(chosen, best, result.plans[0].objective)
    assert not better(chosen, result.plans[0].objective, best)


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
    tables = ACROSS | {
        "pools": pools,
        "objective": ("maximize" if GOALS[objective].maximize else "minimize")
        + f' = "{objective}"',
        "slo": slo,
        "search": "gap = 0",
        "workload": (
            f'arrival = "poisson"\nrate_rps = {rate}\nrequests = 40\n'
            "prompt_tokens = 300\noutput_tokens = 30"
        ),
    }
    asked = spec(**tables)
    best, plans = best_of_all(asked)
    if best is None:
        with pytest.raises(InfeasibleError):
            solve(asked)
        return
    assert_that_bounds_hold(asked)
    result = solve(asked)
    chosen = goal(asked.objective)
    assert result.proof.space == plans
    assert not better(chosen, best, result.plans[0].objective)
    assert not better(chosen, result.plans[0].objective, best)


def test_a_plan_over_two_pools_is_told_with_its_stages_and_played_again_the_same():
    tables = ACROSS | {
        "slo": "ttft_ms = { p99 = 5000 }",
        "workload": (
            'arrival = "poisson"\nrate_rps = 1.0\nrequests = 40\n'
            "prompt_tokens = 300\noutput_tokens = 30"
        ),
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


def edge(asked_spec, metric, statistic, nth):
    """Return what one of the plans shows of a level, and its attainment."""
    offered = traffic(asked_spec.workload, asked_spec.search.seed, asked_spec.folder)
    asked = problem(asked_spec, offered.load, legal_candidates(asked_spec, offered))
    plans = [*every_plan(asked.data)]
    parts = parts_of(asked, plans[nth % len(plans)])
    shown = play(asked_spec, offered.load, parts).prediction
    return getattr(getattr(shown, metric), statistic), shown.attainment


EDGES = {
    "llama": {},
    "moe": {
        "model": 'name = "gpt-oss-20b"',
        "parallelism": "tensor = [1, 2]\nexpert = [1, 2]\npipeline = 1",
    },
    "latent": {"model": 'name = "deepseek-v2-lite"', "parallelism": "pipeline = [1, 2]"},
    "pools": {"pools": TWO_POOLS, "parallelism": "pipeline = 1"},
    "settings": {
        "engine": "max_num_seqs = [4, 64]\ncuda_graphs = false",
        "parallelism": "tensor = 2\npipeline = [1, 2]",
    },
}


@settings(max_examples=20, deadline=None)
@given(
    tables=st.sampled_from(sorted(EDGES)),
    objective=st.sampled_from(["cost", "devices", "latency", "energy"]),
    metric=st.sampled_from(["ttft_ms", "tpot_ms", "itl_ms", "e2e_ms"]),
    statistic=st.sampled_from(["mean", "p50", "p90", "p99"]),
    count=st.sampled_from([1, 2, 7, 100]),
    arrival=st.sampled_from(['"poisson"\nrate_rps = 30.0', '"closed"\nconcurrency = 5']),
    outputs=st.sampled_from(["1", '{ distribution = "uniform", low = 1, high = 60 }']),
    nth=st.integers(0, 1000),
    each=st.booleans(),
)
def test_a_plan_that_just_meets_its_level_is_found(
    tables, objective, metric, statistic, count, arrival, outputs, nth, each
):
    given_tables = EDGES[tables] | {
        "objective": f'minimize = "{objective}"',
        "workload": (
            f"arrival = {arrival}\nrequests = {count}\n"
            'prompt_tokens = { distribution = "uniform", low = 20, high = 900 }\n'
            f"output_tokens = {outputs}"
        ),
    }
    limit, _ = edge(spec(**given_tables), metric, statistic, nth)
    slo = f"{metric} = {{ {statistic} = {max(limit, 1e-9)!r} }}"
    if each:
        slo = f"{metric} = {max(limit, 1e-9)!r}"
        _, share = edge(spec(**given_tables, slo=slo), metric, statistic, nth)
        assume(share > 0)
        slo += f"\nattainment = {share!r}"
    asked = spec(**given_tables, slo=slo)
    best, _ = best_of_all(asked)
    result = solve(asked)
    chosen = goal(asked.objective)
    assert best is not None
    assert not better(chosen, best, result.plans[0].objective)
    assert not better(chosen, result.plans[0].objective, best)


def assert_that_bounds_hold(asked_spec):
    """Simulate every plan: none that meets the spec is excluded, or better than its bound."""
    offered = traffic(asked_spec.workload, asked_spec.search.seed, asked_spec.folder)
    asked = problem(asked_spec, offered.load, legal_candidates(asked_spec, offered))
    for counts in every_plan(asked.data):
        one = tried(asked_spec, counts, play(asked_spec, offered.load, parts_of(asked, counts)))
        if one.missed is None:
            assert faults(asked.data, counts) == []
            bound = asked.in_units(float(value(asked.data, counts)))
            slack = 1e-9 * abs(bound)
            if asked.goal.maximize:
                assert one.objective <= bound + slack
            else:
                assert one.objective >= bound - slack


@pytest.mark.parametrize("objective", sorted(GOALS))
@settings(max_examples=10, deadline=None)
@given(
    rate=st.sampled_from([5.0, 100.0, 1000.0]),
    slo=st.sampled_from(
        [
            "drain_s = 0.001",
            "ttft_ms = 3000\ndrain_s = 0.001",
            "ttft_ms = 3000\ntpot_ms = 15\ndrain_s = 0.001",
            "ttft_ms = 500\nitl_ms = 200\nattainment = 0.5",
            "e2e_ms = 1500\nattainment = 0.1\ndrain_s = 1",
            "ttft_ms = { p50 = 400 }",
            "ttft_ms = { p90 = 1500 }\ntpot_ms = { p90 = 40 }",
            "ttft_ms = { p99 = 2000 }\ne2e_ms = { p50 = 1200 }",
        ]
    ),
    prompt=st.sampled_from(["6000", '{ distribution = "uniform", low = 1, high = 9000 }']),
    pools=st.sampled_from([TWO_POOLS, TABLES["pools"]]),
    count=st.sampled_from([1, 60]),
)
@example(
    # Overload: what counts is done long after the last arrival.
    rate=1000.0,
    slo="ttft_ms = 3000\ntpot_ms = 50\ndrain_s = 0.001",
    prompt="6000",
    pools=TWO_POOLS,
    count=60,
)
def test_no_plan_that_meets_the_spec_beats_its_bound(objective, rate, slo, prompt, pools, count):
    asked_spec = spec(
        pools=pools,
        objective=("maximize" if GOALS[objective].maximize else "minimize") + f' = "{objective}"',
        slo=slo,
        workload=(
            f'arrival = "poisson"\nrate_rps = {rate}\nrequests = {count}\n'
            f"prompt_tokens = {prompt}\noutput_tokens = 40"
        ),
        parallelism="tensor = [1, 2]\npipeline = 1",
    )
    assert_that_bounds_hold(asked_spec)


@pytest.mark.parametrize("objective", sorted(GOALS))
def test_no_plan_of_ranks_that_work_all_the_time_beats_its_bound(objective):
    # The work of all ranks is more than three times what one of them could do in the time.
    assert_that_bounds_hold(
        spec(
            model=RANKED["model"],
            parallelism="tensor = 1\nattention_data = 4\nexpert = 4",
            objective=("maximize" if GOALS[objective].maximize else "minimize")
            + f' = "{objective}"',
            slo="e2e_ms = 1000\nattainment = 0.1\ndrain_s = 0.5",
            workload=(
                'arrival = "poisson"\nrate_rps = 150.0\nrequests = 300\n'
                "prompt_tokens = 2000\noutput_tokens = 2"
            ),
        )
    )


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


def test_no_replica_that_fits_is_proved_infeasible_with_reasons():
    with pytest.raises(InfeasibleError) as caught:
        solve(spec(model='name = "llama-3.1-405b"'))
    first, reason = str(caught.value).splitlines()
    assert first == "no replica of the model can be started:"
    assert reason.startswith("  TP4 PP1 bf16: weights of 202.9 GB leave ")
    assert reason.endswith(" GB too little on a device of 85.5 GB (and 6 alike)")


def test_a_level_that_a_lone_request_misses_is_proved_infeasible():
    with pytest.raises(InfeasibleError) as caught:
        solve(spec(slo="ttft_ms = { p99 = 1 }"))
    assert str(caught.value) == (
        "no plan meets the spec, even with every request alone on idle devices: ttft_ms p99"
    )


def test_too_much_traffic_is_proved_infeasible_without_a_simulation():
    with pytest.raises(InfeasibleError) as caught:
        solve(
            spec(
                workload=(
                    'arrival = "poisson"\nrate_rps = 5000.0\nrequests = 300000\n'
                    "prompt_tokens = 5000\noutput_tokens = 60"
                )
            )
        )
    assert str(caught.value) == (
        "no plan meets the spec: no fleet within the limits carries this traffic at all"
    )


def test_a_level_that_no_plan_meets_lists_the_nearest_tries():
    with pytest.raises(InfeasibleError) as caught:
        solve(spec(slo="tpot_ms = { p99 = 3.5 }", parallelism="tensor = 4\npipeline = 1"))
    lines = str(caught.value).splitlines()
    assert lines[0] == "no plan meets the spec: all 1 that the bounds allow were simulated"
    assert lines[1].startswith("  1 x h100 TP4 bf16: TPOT p99 ")


def test_peak_power_is_held_against_its_limit():
    free = solve(spec()).plans[0]
    limit = free.prediction.power_peak_w * 0.5
    with pytest.raises(InfeasibleError) as caught:
        solve(
            spec(
                parallelism=f"tensor = {free.deployments[0].replica.tensor}\npipeline = 1",
                limits=f"power_w = {limit:.0f}\nreplicas = 1",
            )
        )
    assert "peak power" in str(caught.value)


def test_peak_power_of_a_pool_is_held_against_its_own_limit():
    # One idle H100 draws 85 W, one at work more than 300.
    pools = TABLES["pools"].replace("devices_per_node = 4", "devices_per_node = 1\npower_w = 300")
    with pytest.raises(InfeasibleError) as caught:
        solve(spec(pools=pools))
    first, second = str(caught.value).splitlines()
    assert first == "no plan meets the spec: all 1 that the bounds allow were simulated"
    assert second.startswith("  1 x h100 TP1 bf16: peak power of pool h100 ")
    assert second.endswith(" W > 300 W")


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


def test_without_time_neither_plan_nor_proof_is_claimed():
    with pytest.raises(UndecidedError) as caught:
        solve(spec(search="time_limit_s = 1e-9"))
    assert str(caught.value).splitlines()[0].startswith("no plan was found in 1e-09 s")


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


def test_levels_are_blamed_only_where_they_bar_every_replica():
    # One device alone is too slow for the level, four carry too little: the traffic is to blame.
    with pytest.raises(InfeasibleError) as caught:
        solve(
            spec(
                workload=(
                    'arrival = "poisson"\nrate_rps = 5000.0\nrequests = 200000\n'
                    "prompt_tokens = 5000\noutput_tokens = 2"
                ),
                slo="ttft_ms = { p99 = 200 }",
            )
        )
    assert str(caught.value) == (
        "no plan meets the spec: no fleet within the limits carries this traffic at all"
    )


@pytest.mark.parametrize(
    ("parallelism", "reason"),
    [
        ("expert = 3", "expert = 3 is neither 1 nor tensor = 4"),
        ("attention_data = 2", "attention_data = 2 needs a mixture of experts to share"),
        ("pipeline = 8", "32 devices a replica are more than pool `h100` has"),
    ],
)
def test_degrees_that_the_spec_names_are_refused_with_a_reason(parallelism, reason):
    with pytest.raises(InfeasibleError) as caught:
        solve(spec(parallelism=parallelism))
    lines = str(caught.value).splitlines()
    assert lines[0] == "no replica of the model can be started:"
    assert any(line.startswith(f"  {reason}") for line in lines[1:])
