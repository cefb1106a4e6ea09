from hypothesis import given, settings
from hypothesis import strategies as st

from tests.plan.drawn import (
    assert_that_the_best_is_found,
    lengths,
    levels,
    objectives,
    poisson,
    rates,
    uniform,
)
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
    objective=objectives,
    rate=rates,
    slo=levels,
    outputs=lengths,
    disaggregate=st.sampled_from(["true", "true", '"only"']),
    cp_sat=st.booleans(),
)
def test_of_plans_with_prefill_and_decode_apart_the_best_is_found(
    tables, objective, rate, slo, outputs, disaggregate, cp_sat
):
    asked = spec(
        **({"search": "gap = 0"} | APART[tables]),
        objective=objective,
        slo=slo,
        parallelism=f"tensor = [1, 2]\npipeline = 1\ndisaggregate = {disaggregate}",
        workload=poisson(rate, 60, uniform(50, 1900), outputs),
    )
    assert_that_the_best_is_found(asked, cp_sat=cp_sat)
