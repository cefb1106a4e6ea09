from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apex_opt.cost.kernel_error import ALONE, kernel_error, mean_step
from tests.shapes import shape

LONG = replace(ALONE, steps=1000, prompt_tokens=8000, decode_tokens=30_000, rows=30_040)
CHAT = replace(LONG, context=60_000_000, pairs=4_000_000)


def known(s, width=None, **of):
    """A shape whose device states one error for all its curves, and others for some groups."""
    device = s.pool.device
    error = None if width is None else (1.0, width)

    def group(name):
        errors = (1.0, of[name]) if name in of else error
        curves = getattr(device.efficiency, name)
        return {key: c.model_copy(update={"error": errors}) for key, c in curves.items()}

    groups = [key for key, value in device.efficiency if isinstance(value, dict)]
    changed = {name: group(name) for name in groups}
    wires = {
        key: c.model_copy(update={"error": error}) for key, c in device.link.collectives.items()
    }
    update = {
        "efficiency": device.efficiency.model_copy(update=changed),
        "link": device.link.model_copy(update={"error": error, "collectives": wires}),
    }
    return replace(s, pool=s.pool.model_copy(update={"device": device.model_copy(update=update)}))


@pytest.mark.parametrize(
    "model", ["llama-3.1-8b", "mixtral-8x7b", "gemma-2-9b", "deepseek-v2-lite"]
)
def test_curves_of_one_error_make_a_step_of_that_error(model):
    assert kernel_error(known(shape(model, tensor=2), 20.0), CHAT) == pytest.approx(0.2)


@pytest.mark.parametrize(
    ("model", "device", "stands_in"),
    [
        ("bamba-9b", "h100-sxm-80gb", True),
        ("qwen3-next-80b-a3b", "h100-sxm-80gb", False),
        ("gemma-2-9b", "a100-sxm-80gb", True),
        ("gemma-2-9b", "h100-sxm-80gb", False),
    ],
)
def test_attention_that_other_kernels_time_is_known_no_better_than_the_device(
    model, device, stands_in
):
    assert (kernel_error(known(shape(model, device, tensor=2), 1.0), CHAT) > 0.011) == stands_in


def test_a_device_without_measured_kernels_has_the_band_that_it_states():
    s = shape(device="mi300x")
    assert kernel_error(s, CHAT) == pytest.approx(s.pool.device.efficiency.error_band)


@given(
    products=st.floats(1, 50),
    decode=st.floats(1, 50),
    batch=st.integers(1, 256),
    context=st.integers(1, 100_000),
)
def test_the_error_of_a_step_lies_between_those_of_its_kernels(products, decode, batch, context):
    s = known(shape(), 10.0, products=products, decode=decode)
    did = replace(ALONE, steps=10, decode_tokens=10 * batch, rows=10 * batch, context=10 * context)
    low, high = min(products, decode, 10.0), max(products, decode, 10.0)
    assert low / 100 - 1e-9 <= kernel_error(s, did) <= high / 100 + 1e-9


def test_the_longer_the_contexts_the_more_the_error_of_attention_counts():
    s = known(shape(), 10.0, decode=40.0)
    short, long = (kernel_error(s, replace(CHAT, context=c)) for c in (10**6, 10**9))
    assert 0.1 < short < 0.2 < long < 0.4


def test_a_format_whose_curve_is_borrowed_is_known_no_better_than_the_device_states():
    s = known(shape("llama-3.1-8b", weights="fp8"), 5.0)
    own = s.pool.device.efficiency
    bare = own.model_copy(update={"products": {"bf16": own.products["bf16"]}})
    device = s.pool.device.model_copy(update={"efficiency": bare})
    borrowed = replace(s, pool=s.pool.model_copy(update={"device": device}))
    assert kernel_error(s, CHAT) == pytest.approx(0.05)
    assert 0.05 < kernel_error(borrowed, CHAT) < own.error_band


def test_a_collective_that_leaves_its_node_is_not_measured():
    s = known(shape("llama-3.1-70b", tensor=8), 5.0)
    apart = replace(s, pool=s.pool.model_copy(update={"devices_per_node": 4}))
    assert kernel_error(s, CHAT) == pytest.approx(0.05)
    assert kernel_error(apart, CHAT) > 0.06


def test_a_mean_step_is_what_a_run_did_over_its_steps():
    step = mean_step(CHAT)
    assert step.tokens == 38.0
    assert step.rows == 30.04
    assert step.context == 60_000
    assert step.filling == 0.04  # rows beyond decoded tokens: 40 of 1,000 steps end a prompt
    assert step.prompts == 200.0


def test_a_replica_that_did_nothing_is_judged_by_a_lone_token():
    idle = replace(ALONE, steps=0, prompt_tokens=0, rows=0, pairs=0)
    assert kernel_error(shape(), idle) == kernel_error(shape(), ALONE)
