from hypothesis import given, settings
from hypothesis import strategies as st

from tests.plan.drawn import aim, assert_that_the_best_is_found, poisson, uniform
from tests.small_specs import TWO_POOLS, spec


@settings(max_examples=6, deadline=None)
@given(
    objective=st.sampled_from(["cost", "latency", "energy", "goodput"]),
    rate=st.sampled_from([10.0, 40.0]),
    slo=st.sampled_from(["ttft_ms = { p99 = 300 }", "ttft_ms = 300\ntpot_ms = { p50 = 12 }"]),
    seed=st.integers(0, 3),
)
def test_with_routing_by_length_the_plan_is_the_best_of_both_ways(objective, rate, slo, seed):
    asked = spec(
        pools=TWO_POOLS,
        objective=aim(objective),
        slo=slo,
        routing="by_class = true",
        parallelism="pipeline = [1]",
        workload=poisson(rate, 80, uniform(50, 4000), 40) + f"\nseed = {seed}",
        search="gap = 0",
    )
    result = assert_that_the_best_is_found(asked)
    assert result is None or result.proof.text.endswith(
        f"{result.proof.space} in the space, routed both ways"
    )
