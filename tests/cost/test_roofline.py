"""The roofline of models and devices that no catalogue has: data sheets alone, curves of priors."""

import dataclasses

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from apex_opt.cost.operators import layer
from apex_opt.cost.rates import Rates
from apex_opt.cost.shape import even_split
from apex_opt.cost.steps import step_table
from apex_opt.spec.model import Model
from apex_opt.spec.pools import Device, Pool
from tests.shapes import SETTINGS, shape

SMALL = dataclasses.replace(SETTINGS, max_num_seqs=64, max_num_batched_tokens=512, graph_tokens=128)
DEGREES = st.sampled_from([1, 2, 4, 8])
HEADS = st.sampled_from([8, 16, 32, 64])
WIDTHS = st.sampled_from([32, 64, 128, 256])

SOFTMAX = st.fixed_dictionaries(
    {
        "kind": st.just("softmax"),
        "heads": HEADS,
        "kv_heads": st.sampled_from([1, 2, 8]),
        "head_dim": WIDTHS,
        "window_tokens": st.none() | st.integers(1, 10_000),
    }
)
LATENT = st.fixed_dictionaries(
    {
        "kind": st.just("latent"),
        "heads": HEADS,
        "q_lora_rank": st.none() | st.integers(1, 2000),
        "kv_lora_rank": st.integers(1, 1000),
        "qk_nope_dim": WIDTHS,
        "qk_rope_dim": WIDTHS,
        "value_dim": WIDTHS,
    }
)
LINEAR = st.fixed_dictionaries(
    {
        "kind": st.just("linear"),
        "key_heads": st.just(8),
        "value_heads": HEADS,
        "key_dim": WIDTHS,
        "value_dim": WIDTHS,
        "update": st.sampled_from(["delta", "decay"]),
    }
)
DENSE = st.fixed_dictionaries({"kind": st.just("dense"), "width": st.integers(8, 50_000)})
MOE = st.fixed_dictionaries(
    {
        "kind": st.just("moe"),
        "experts": st.sampled_from([8, 64, 256]),
        "top_k": st.integers(1, 8),
        "width": st.integers(8, 5000),
        "shared_width": st.sampled_from([0, 2048]),
    }
)
KINDS = st.fixed_dictionaries(
    {"attention": SOFTMAX | LATENT | LINEAR, "ffn": DENSE | MOE},
)


@st.composite
def models(draw):
    """Models of one to three kinds of layer."""
    kinds = draw(st.lists(KINDS, min_size=1, max_size=3))
    names = [f"kind-{i}" for i in range(len(kinds))]
    return Model.model_validate(
        {
            "name": "drawn",
            "hidden_size": 64 * draw(st.integers(1, 256)),
            "vocab_size": draw(st.integers(100, 300_000)),
            "max_context": 8192,
            "layers": dict(zip(names, kinds, strict=True)),
            "pattern": ({"layers": tuple(names), "repeat": draw(st.integers(1, 30))},),
        }
    )


@st.composite
def devices(draw):
    """Data sheets, with the curves of a class that was not measured."""
    peak = draw(st.floats(20, 20_000))
    return Device.model_validate(
        {
            "name": "drawn",
            "memory_bytes": 10**15,
            "bandwidth_gbytes_per_s": draw(st.floats(100, 50_000)),
            "peak_tflops": {"bf16": peak, "fp8": 2 * peak},
            "tdp_w": draw(st.floats(50, 3000)),
            "link": {
                "kind": draw(st.sampled_from(["NVLink", "PCIe 5"])),
                "bandwidth_gbytes_per_s": draw(st.floats(10, 2000)),
                "peer_access": draw(st.booleans()),
            },
        }
    )


@settings(max_examples=60, deadline=None)
@given(
    model=models(),
    device=devices(),
    tensor=DEGREES,
    spread=st.booleans(),
    cache=st.sampled_from(["bf16", "fp8"]),
)
def test_no_model_on_any_device_beats_the_roofline(model, device, tensor, spread, cache):
    s = dataclasses.replace(
        shape(tensor=tensor, expert=tensor if spread else 1, kv_cache=cache, settings=SMALL),
        model=model,
        pool=Pool(name="drawn", device=device, nodes=1),
        stage_layers=even_split(len(model.sequence()), 1),
    )
    table, tokens = step_table(s), np.array([1, 7, 64, 512])
    peak, bandwidth = max(device.peak_tflops.values()) * 1e12, Rates(s).bandwidth
    seconds, read_fs, pair_fs = np.zeros(len(tokens)), 0.0, 0.0
    for name, count in model.counts().items():
        one = layer(model.layers[name], s)
        for product in one.gemms:
            compute = 2.0 * tokens * product.weights / peak
            seconds += count * np.maximum(compute, 2.0 * product.weights / bandwidth)
        if (e := one.experts) is not None:
            compute = 2.0 * tokens * e.top_k / e.ranks * e.weights / peak
            seconds += count * np.maximum(
                compute, min(e.local, e.top_k / e.ranks) * e.weights / bandwidth
            )
        a = one.attention
        read_fs += count * max(a.kv_bytes / bandwidth, a.decode_flops / peak) * 1e15
        pair_fs += count * a.pair_flops / peak * 1e15
    assert (table.decode_ns[0, tokens] >= seconds * 1e9 - 1).all()
    assert (table.mixed_ns[0, tokens] >= table.decode_ns[0, tokens]).all()
    assert table.context_fs[0] + table.window_fs[0] >= read_fs * (1 - 1e-9)
    assert table.pair_fs[0] + table.window_pair_fs[0] >= pair_fs * (1 - 1e-9)
    drawn = table.mixed_j[1:] / (table.mixed_ns[:, 1:].sum(axis=0) * 1e-9)
    assert drawn.max() <= Rates(s).dynamic_w * tensor * (1 + 1e-9)
