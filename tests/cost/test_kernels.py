import dataclasses

import pytest

from apex_opt.cost.kernels import decode_curve, prefill_curve
from apex_opt.cost.operators import layer
from apex_opt.cost.rates import Rates
from apex_opt.spec import catalog
from tests.shapes import shape

KINDS = {
    "full": "llama-3.1-8b",
    "window": "gpt-oss-20b",
    "latent": "deepseek-v2-lite",
    "linear": "qwen3-next-80b-a3b",
}


def of_kind(kind, device="h200-sxm-141gb", cache="bf16"):
    s = shape(KINDS[kind], device, kv_cache=cache)
    layers = (layer(one, s).attention for one in s.model.layers.values())
    return Rates(s), next(a for a in layers if a.kind == kind)


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_of_attention_has_its_own_curves_where_it_was_measured(kind):
    rates, a = of_kind(kind)
    reached, own = rates.device.efficiency, "" if kind == "full" else f"{kind}_"
    assert prefill_curve(rates, a) == (getattr(reached, f"{own}prefill")["bf16"], "bf16")
    assert decode_curve(rates, a) == (getattr(reached, f"{own}decode")["bf16"], "bf16")


@pytest.mark.parametrize("kind", KINDS)
def test_a_device_that_was_not_measured_takes_the_curves_of_full_attention(kind):
    rates, a = of_kind(kind, device="mi300x")
    reached = rates.device.efficiency
    assert prefill_curve(rates, a) == (reached.prefill["bf16"], "bf16")
    assert decode_curve(rates, a) == (reached.decode["bf16"], "bf16")


def test_an_8_bit_cache_is_decoded_in_8_bits_and_its_latent_prompts_in_16():
    rates, a = of_kind("latent", cache="fp8")
    reached = rates.device.efficiency
    assert decode_curve(rates, a) == (reached.latent_decode["fp8"], "fp8")
    assert prefill_curve(rates, a) == (reached.latent_prefill["bf16"], "bf16")


def test_curves_without_16_bits_are_none():
    rates, a = of_kind("window")
    pool = rates.shape.pool
    reached = pool.device.efficiency
    only = {"fp8": reached.window_decode["fp8"]}
    narrow = pool.device.model_copy(
        update={"efficiency": reached.model_copy(update={"window_decode": only})}
    )
    changed = dataclasses.replace(rates.shape, pool=pool.model_copy(update={"device": narrow}))
    assert decode_curve(Rates(changed), a) == (reached.decode["bf16"], "bf16")


@pytest.mark.parametrize(
    ("engine", "cache", "own"),
    [
        ("vllm", "bf16", True),
        ("vllm", "fp8", True),
        ("sglang", "bf16", True),
        ("sglang", "fp8", False),
    ],
)
def test_sparse_prompts_have_a_kernel_of_their_own_over_16_bits_and_in_vllm_over_any(
    engine, cache, own
):
    s = shape("deepseek-v3.2", "b200-sxm", tensor=8, weights="fp8-block", kv_cache=cache)
    s = dataclasses.replace(s, release=catalog.release(engine, None))
    found = prefill_curve(Rates(s), layer(s.model.layers["moe"], s).attention)[0]
    reached = s.pool.device.efficiency
    assert found == (reached.sparse_prefill if own else reached.latent_prefill)["bf16"]
