import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apex_opt.errors import InfeasibleError
from apex_opt.plan.objective import goal
from apex_opt.plan.search import better
from apex_opt.plan.solve import solve
from benchmarks.exhaustive import best_of_all
from tests.small_specs import TABLES, TWO_POOLS, spec

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
