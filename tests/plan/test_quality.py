import pytest

from apex_opt.plan.solve import solve
from tests.small_specs import spec

FORMATS = 'weights = ["bf16", "fp8"]\nkv_cache = ["bf16", "fp8"]\n'
ONE = {"parallelism": "tensor = 1\npipeline = 1", "slo": "ttft_ms = { p99 = 90 }"}


def priced(**prices: float) -> str:
    table = ", ".join(f"{name} = {usd}" for name, usd in prices.items())
    return f"{FORMATS}usd_per_million_tokens = {{ {table} }}"


def test_lost_quality_is_paid_by_the_token():
    result = solve(spec(**ONE, quantization=priced(fp8=0.5)))
    by_label = {plan.label: plan.prediction for plan in result.plans}
    assert by_label["1 x h100 TP1 bf16"].extra_cost_per_hour == 0
    found = by_label["1 x h100 TP1 fp8"]
    span_s = found.duration_s - found.drain_s
    tokens_per_hour = 200 * 60 / span_s * 3600
    assert found.extra_cost_per_hour == pytest.approx(0.5e-6 * tokens_per_hour)


def test_a_format_is_chosen_where_it_saves_more_than_it_loses():
    # 60 tokens 20 times a second are 4.3 million an hour; fp8 saves one of two devices.
    tight = {"parallelism": "tensor = 1\npipeline = 1", "slo": "e2e_ms = { p99 = 620 }"}
    weights = 'weights = ["bf16", "fp8"]\nusd_per_million_tokens = {{ fp8 = {} }}'
    cheap, dear = (
        solve(spec(**tight, quantization=weights.format(usd))).plans[0] for usd in (0.1, 100.0)
    )
    assert (cheap.label, dear.label) == ("1 x h100 TP1 fp8", "2 x h100 TP1 bf16")


def test_a_bound_on_lost_quality_is_met_where_all_is_served_by_one_format():
    only = 'weights = "fp8"\nkv_cache = "fp8"\nusd_per_million_tokens = { fp8 = 2.0 }'
    result = solve(spec(**ONE, quantization=only))
    assert result.proof.status == "optimal"
    assert result.proof.bound == pytest.approx(result.proof.best, rel=1e-5)
    assert result.plans[0].prediction.extra_cost_per_hour > 0
