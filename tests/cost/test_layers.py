from dataclasses import replace

import numpy as np
import pytest

from apex_opt.cost import collectives
from apex_opt.cost.layers import layer_cost, reduced
from apex_opt.cost.operators import ACTIVATION_BYTES, layer
from apex_opt.cost.rates import Cost, Rates, nothing
from tests.shapes import shape

TOKENS = np.array([0.0, 1.0, 64.0, 2048.0])


def overlapping(s, share):
    return replace(s, settings=replace(s.settings, collective_overlap=share))


def cost(s):
    kind = next(iter(s.model.layers.values()))
    return layer_cost(Rates(s), layer(kind, s), TOKENS)


def test_a_share_of_the_all_reduces_hides_behind_what_feeds_them():
    s = shape("llama-3.1-70b", tensor=8)
    plain, fused = cost(s), cost(overlapping(s, 0.25))
    size = ACTIVATION_BYTES * TOKENS * s.model.hidden_size
    hidden = 0.25 * 2 * collectives.all_reduce(s, size)
    assert plain.seconds - fused.seconds == pytest.approx(hidden)
    assert fused.joules.tolist() == plain.joules.tolist()  # it is sent all the same


def test_no_more_hides_than_the_products_take():
    rates = Rates(overlapping(shape(tensor=2), 0.9))
    found = reduced(rates, nothing(2), np.array([100e-6, 100e-6]), np.array([30e-6, 500e-6]))
    assert found.seconds == pytest.approx([70e-6, 10e-6])


def test_sending_beside_a_product_draws_no_more_than_the_device_may():
    rates = Rates(overlapping(shape(tensor=2), 0.9))
    most = Cost(np.array([1e-3]), np.array([1e-3]) * rates.dynamic_w)
    found = reduced(rates, most, np.array([1e-3]), np.array([1e-3]))
    assert found.joules == pytest.approx(rates.dynamic_w * found.seconds)


def test_experts_feed_an_all_reduce_too():
    s = shape("mixtral-8x7b", tensor=8)
    hidden = cost(s).seconds - cost(overlapping(s, 0.9)).seconds
    size = ACTIVATION_BYTES * TOKENS * s.model.hidden_size
    assert hidden == pytest.approx(0.9 * 2 * collectives.all_reduce(s, size))


def quantising(s, quantize_us):
    own = s.release.overheads.model_copy(update={"quantize_us": quantize_us})
    return replace(s, release=s.release.model_copy(update={"overheads": own}))


@pytest.mark.parametrize(("weights", "products"), [("fp8", 4), ("bf16", 0), ("int4-awq", 0)])
def test_an_engine_that_quantises_inputs_apart_takes_longer_for_each_product_of_8_bits(
    weights, products
):
    s = shape("llama-3.1-70b", tensor=8, weights=weights)
    longer = cost(quantising(s, 7.5)).seconds - cost(quantising(s, 0.0)).seconds
    assert longer == pytest.approx([0.0, *3 * [products * 7.5e-6]], abs=1e-12)


def test_experts_of_8_bits_have_two_products_to_quantise_for():
    s = shape("mixtral-8x7b", tensor=8, weights="fp8")
    longer = cost(quantising(s, 7.5)).seconds - cost(quantising(s, 0.0)).seconds
    assert longer == pytest.approx([0.0, *3 * [4 * 7.5e-6]], abs=1e-12)  # and qkv, output
