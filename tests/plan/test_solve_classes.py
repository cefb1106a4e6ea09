import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apex_opt.errors import InfeasibleError
from apex_opt.plan.objective import goal
from apex_opt.plan.search import better
from apex_opt.plan.solve import solve
from benchmarks.exhaustive import best_of_all
from tests.small_specs import TWO_POOLS, spec


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
