import dataclasses

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from apex_opt.cost.encoder import (
    encoder_activations,
    encoder_bytes,
    encoder_shape,
    encoding,
    projector,
    span,
)
from apex_opt.cost.layers import storage
from apex_opt.cost.memory import fit
from apex_opt.cost.operators import layer
from apex_opt.cost.rates import Rates
from apex_opt.cost.table import replica_table
from apex_opt.cost.work import model_work
from apex_opt.plan.legality import why_not
from apex_opt.plan.scheduler import rules
from apex_opt.plan.settings import longest_input
from apex_opt.sim.load import Load
from apex_opt.sim.replica import play
from apex_opt.spec import catalog
from apex_opt.spec.parameters import parameters
from tests.shapes import SETTINGS, shape

SMALL = dataclasses.replace(SETTINGS, max_num_seqs=64, max_num_batched_tokens=2048)
ENCODERS = [
    name
    for name in catalog.names("models")
    if catalog.model(name).encoder is not None or catalog.model(name).vision is not None
]
DEVICES = [d for d in catalog.names("devices") if catalog.device(d).tdp_w is not None]


def served(model, device="h100-sxm-80gb", *, by_data=False, **more):
    """A replica of a model with an encoder, in TensorRT-LLM, which serves all of them."""
    encoder = min(longest_input(catalog.model(model)), 2048)
    chosen = dataclasses.replace(SMALL, max_encoder_tokens=encoder, encoder_by_data=by_data)
    s = shape(model, device, settings=chosen, **more)
    return dataclasses.replace(s, release=catalog.release("tensorrt-llm", None))


def floor_ns(s, tokens):
    """Least time of the encoder: products at the peak or bandwidth of the data sheet."""
    small, rates, seconds = encoder_shape(s), Rates(encoder_shape(s)), np.zeros(len(tokens))
    share = tokens * small.tensor / s.tensor
    products = [
        (count, g.quantized, g.weights, share, rates)
        for name, count in small.model.counts().items()
        for g in layer(small.model.layers[name], small).gemms
    ]
    if s.model.vision is not None:
        vision = s.model.vision
        passed = share * vision.tokens / vision.patches
        products.append((1, "none", projector(vision, small).weights, passed, rates))
    for name, count in s.model.counts().items():
        cross = layer(s.model.layers[name], s).cross
        if cross is not None:
            products.append((count, "linear", cross.weights, tokens, Rates(s)))
    for count, quantized, weights, n, of in products:
        precision, bits = storage(of, quantized)
        compute = 2.0 * n * weights / of.peak(precision)
        seconds += count * np.maximum(compute, weights * bits / 8 / of.bandwidth)
    return seconds * 1e9


@settings(max_examples=60, deadline=None)
@given(
    model=st.sampled_from(ENCODERS),
    device=st.sampled_from(DEVICES),
    weights=st.sampled_from(catalog.names("weights")),
    tensor=st.sampled_from([1, 2, 4, 8]),
    by_data=st.booleans(),
)
def test_no_encoder_of_the_catalogue_beats_the_roofline(model, device, weights, tensor, by_data):
    s = served(model, device, weights=weights, tensor=tensor, by_data=by_data, nodes=32)
    assume(why_not(s) is None)
    table, tokens = replica_table(s), np.array([1, 7, 64, 577, 1500, 2048])
    assert (table.encoder_ns[0, tokens] >= floor_ns(s, tokens)).all()
    assert (np.diff(table.encoder_ns) >= 0).all()
    assert not table.encoder_ns[:, 0].any()
    drawn = table.encoder_j[1:] / (table.encoder_ns[0, 1:] * 1e-9)
    assert drawn.max() <= Rates(s).dynamic_w * tensor * (1 + 1e-9)


@pytest.mark.parametrize("name", ENCODERS)
def test_an_encoder_holds_its_parameters_in_16_bits(name):
    s = shape(name)
    model, found = s.model, parameters(s.model)
    if model.vision is not None:
        assert encoder_bytes(s) == pytest.approx(2 * found.vision, rel=1e-4)
        return
    runs = model.encoder.pattern
    layers = sum(found.encoder_kinds[k].total * run.repeat for run in runs for k in run.layers)
    assert encoder_bytes(s) == pytest.approx(
        2 * (layers + model.encoder.extra_parameters), rel=1e-4
    )


def test_a_model_without_an_encoder_has_none_of_it():
    s = shape()
    assert encoder_shape(s) is None
    assert encoder_bytes(s) == 0
    assert encoder_activations(s) == (0, 0)
    assert not len(replica_table(dataclasses.replace(s, settings=SMALL)).encoder_ns)


def test_images_stay_in_16_bits_and_on_the_first_stage():
    bare = served("gemma-3-27b", weights="fp8", pipeline=2)
    assert encoder_shape(bare).weights.name == "bf16"
    table = replica_table(bare)
    assert table.encoder_ns[0, 1] > 0
    assert not table.encoder_ns[1].any()


def test_each_device_has_the_whole_encoder_where_images_are_shared_out():
    split, whole = (served("gemma-3-27b", tensor=4, by_data=b) for b in (False, True))
    assert encoder_bytes(whole) > 3 * encoder_bytes(split)
    assert encoder_shape(whole).tensor == 1
    # One image is encoded by one device, four by four at once, and nobody waits for all-reduces.
    at = np.array([4096.0, 4 * 4096.0])
    apart, parts = (encoding(s, at).tokens.seconds for s in (whole, split))
    assert apart[0] > parts[0]
    assert apart[1] < parts[1]
    assert apart[1] < 1.2 * apart[0]


def test_patches_see_each_other_within_a_tile():
    assert span(catalog.model("llama-4-scout")) == 577
    assert span(catalog.model("gemma-3-27b")) == 4096
    assert span(catalog.model("whisper-large-v3")) == 1500
    assert span(catalog.model("flan-t5-xxl")) is None


def test_pairs_of_an_input_of_any_length_cost_apart():
    t5, whisper = (replica_table(served(m)) for m in ("flan-t5-xxl", "whisper-large-v3"))
    assert t5.encoder_pair_fs[0] > 0
    assert not whisper.encoder_pair_fs.any()


def test_the_cache_of_what_the_encoder_has_read_takes_blocks():
    s = served("whisper-large-v3")
    held = fit(s)
    # 1,500 frames in blocks of 16 tokens; 448 tokens of the decoder.
    assert held.paging.encoder_blocks == 94
    assert held.paging.needed(448, 16) == 28 + 94
    # Keys and values of 32 layers, 20 heads of 64, 2 bytes: both attentions share the blocks.
    assert held.paging.page == 16 * 32 * 2 * 20 * 64 * 2


def test_work_counts_what_an_encoder_reads_by_hand():
    # One window: 1,500 frames through 32 layers and their pairs, and keys and values for 32 more.
    s = served("whisper-large-v3")
    c = catalog.model("whisper-large-v3")
    hidden, width = c.hidden_size, 5120
    layers = 32 * (4 * hidden * hidden + 2 * hidden * width)
    pairs = 32 * 1500 * 4 * hidden
    assert model_work(s).encoder_flops == pytest.approx(
        2 * (layers + 32 * 2 * hidden * hidden) + pairs
    )
    assert model_work(s).encoder_pair_flops == 0


def test_a_window_of_speech_takes_the_time_of_its_encoder_before_the_first_word():
    s = served("whisper-large-v3")
    table = replica_table(s)
    load = Load(np.array([0]), np.array([4]), np.array([20]), encoder_tokens=np.array([1500]))
    log = play(load, rules(s, fit(s)), table)
    first = log.first_ns[0] - log.start_ns[0]
    assert first > table.encoder_ns[0, 1500]
    # 2.4e12 operations at 989 TFLOP/s are 2.4 ms.
    assert 2.4e6 < table.encoder_ns[0, 1500] < 20e6
