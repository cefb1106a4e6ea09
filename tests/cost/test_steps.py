import dataclasses

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from apex_opt.cost.collectives import all_gather
from apex_opt.cost.layers import gemm, layer_cost, storage
from apex_opt.cost.operators import Gemm, layer
from apex_opt.cost.rates import Rates, half_precision
from apex_opt.cost.step_parts import grid, head, padded
from apex_opt.cost.steps import step_table
from apex_opt.plan.legality import why_not
from apex_opt.spec import catalog
from tests.shapes import SETTINGS, shape, unlike


@pytest.mark.parametrize(
    ("tokens", "size"),
    [(0, 0), (1, 1), (3, 4), (5, 8), (9, 16), (250, 256), (257, 272), (512, 512), (513, 513)],
)
def test_small_batches_are_padded_to_the_next_graph(tokens, size):
    assert padded(np.array([tokens]), 512)[0] == size


def test_without_graphs_nothing_is_padded():
    assert padded(np.arange(600), 0).tolist() == list(range(600))


def test_the_grid_holds_every_graph_size_both_ends_and_what_is_asked_for():
    found = grid(5000, 250)
    assert set(padded(np.arange(1025), 1024).tolist()) <= set(found.tolist())
    assert {0, 250, 5000} <= set(found.tolist())
    assert (np.diff(found) > 0).all()
    assert grid(3, 0).tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("model", ["llama-3.1-70b", "qwen3-30b-a3b"])
def test_between_the_points_of_the_grid_the_table_is_near_the_operators(model):
    s = shape(model, tensor=8, settings=dataclasses.replace(SETTINGS, max_num_batched_tokens=8192))
    table, rates = step_table(s), Rates(s)
    sizes = np.array([521, 1500, 4001, 8100])
    exact = sum(
        layer_cost(rates, layer(s.model.layers[name], s), sizes.astype(float)).seconds * count
        for name, count in s.model.counts().items()
    )
    rest = table.decode_ns[0, sizes] * 1e-9 - exact  # embedding, engine, eager kernels
    assert (np.abs(np.diff(rest)) < 0.005 * exact[1:]).all()


SMALL = dataclasses.replace(SETTINGS, max_num_seqs=64, max_num_batched_tokens=512, graph_tokens=128)
MODELS = catalog.names("models")
DEVICES = [d for d in catalog.names("devices") if catalog.device(d).tdp_w is not None]


def floor_ns(s, stage, tokens):
    """Least time of a stage: each product at the data sheet's peak or bandwidth, nothing lost."""
    s = s.at(stage)
    rates, seconds = Rates(s), np.zeros(len(tokens))
    for name, count in s.stage_counts()[stage].items():
        one = layer(s.model.layers[name], s)
        products = [(g.quantized, g.weights, g.weights, 1.0) for g in one.gemms]
        if one.experts is not None:
            e = one.experts
            # Of whole experts one token may find none on a device: its mean share is touched.
            read = min(e.local, e.top_k / e.ranks) * e.weights
            products.append(("experts", e.weights, read, e.top_k / e.ranks))
        for quantized, weights, read, visits in products:
            precision, bits = storage(rates, quantized)
            compute = 2.0 * tokens * visits * weights / rates.peak(precision)
            seconds += count * np.maximum(compute, read * bits / 8 / rates.bandwidth)
        state = tokens * one.attention.token_flops
        seconds += count * state / rates.peak(half_precision(s.pool.device))
    return seconds * 1e9


@settings(max_examples=100, deadline=None)
@given(
    model=st.sampled_from(MODELS),
    device=st.sampled_from(DEVICES),
    weights=st.sampled_from(catalog.names("weights")),
    degrees=st.sampled_from([(1, 1, 1), (2, 3, 1), (8, 1, 1), (8, 1, 8), (16, 2, 1)]),
    context=st.sampled_from([1, 1, 2, 8]),
    other=st.sampled_from(DEVICES),
)
def test_no_legal_replica_of_the_catalogue_beats_the_roofline(
    model, device, weights, degrees, context, other
):
    tensor, pipeline, expert = degrees
    s = shape(
        model,
        device,
        weights=weights,
        tensor=tensor,
        pipeline=pipeline,
        expert=expert,
        context=context,
        nodes=32,
        settings=SMALL,
    )
    if pipeline > 1 and other != device:
        s = unlike(s, [device, *[other] * (pipeline - 1)])
    if s.model.encoder is not None:  # which TensorRT-LLM serves
        s = dataclasses.replace(s, release=catalog.release("tensorrt-llm", None))
    assume(why_not(s) is None)
    table, tokens = step_table(s), np.array([1, 2, 7, 64, 129, 512])
    for stage in range(pipeline):
        least = floor_ns(s, stage, tokens)
        assert (table.decode_ns[stage, tokens] >= least).all()
        assert (table.mixed_ns[stage, tokens] >= table.decode_ns[stage, tokens]).all()
    assert (np.diff(table.decode_ns) >= 0).all()
    assert (np.diff(table.mixed_ns) >= 0).all()
    assert (np.diff(table.rows_ns) >= 0).all()
    assert not any(a[:, 0].any() for a in (table.decode_ns, table.mixed_ns, table.rows_ns))
    drawn = table.mixed_j[1:] / (table.mixed_ns[:, 1:].sum(axis=0) * 1e-9)
    most_w = max(Rates(s.at(stage)).dynamic_w for stage in range(pipeline))
    assert drawn.max() <= most_w * tensor * (1 + 1e-9)


@settings(max_examples=60, deadline=None)
@given(
    tensor=st.sampled_from([1, 2, 4, 8]),
    model=st.sampled_from(MODELS),
    device=st.sampled_from(DEVICES),
    cache=st.sampled_from(["bf16", "fp8"]),
    context=st.sampled_from([1, 1, 2, 8]),
)
def test_attention_is_never_faster_than_the_data_sheet(tensor, model, device, cache, context):
    context = min(context, tensor)
    s = shape(model, device, tensor=tensor, kv_cache=cache, context=context, settings=SMALL)
    table, rates = step_table(s), Rates(s)
    peak = max(s.pool.device.peak_tflops.values()) * 1e12
    for stage, counts in enumerate(s.stage_counts()):
        kinds = [(layer(s.model.layers[k], s).attention, n) for k, n in counts.items()]
        state = sum(2.0 * a.state_bytes * n for a, n in kinds) / rates.bandwidth * 1e9
        assert (np.diff(table.rows_ns[stage]) >= state - 1).all()  # rounded to nanoseconds
        for window, context_fs, pair_fs in (
            (False, table.context_fs, table.pair_fs),
            (True, table.window_fs, table.window_pair_fs),
        ):
            mine = [(a, n) for a, n in kinds if (a.window is not None) == window]
            read = sum(a.kv_bytes * n for a, n in mine) / rates.bandwidth * 1e15
            assert context_fs[stage] >= read
            assert context_fs[stage] >= sum(a.decode_flops * n for a, n in mine) / peak * 1e15
            seen = sum(a.pair_flops * n for a, n in mine if not a.slots)
            assert pair_fs[stage] >= seen / peak * 1e15
            assert window or table.history_fs[stage] >= read


@pytest.mark.parametrize(
    ("scheduler", "small_prompts_wait"),
    [("vllm-v1", False), ("vllm-v0", True), ("sglang", True), ("tensorrt-llm", True)],
)
def test_steps_outside_graphs_wait_for_the_host_and_graphs_of_prompts_are_vllms(
    scheduler, small_prompts_wait
):
    s = shape(settings=SMALL)
    own = s.release.overheads.model_copy(update={"host_layer_us": 5000.0})
    changed = {"scheduler": scheduler, "overheads": own}
    s = dataclasses.replace(s, release=s.release.model_copy(update=changed))
    table, launch_ns = step_table(s), len(s.model.sequence()) * 5_000_000
    assert (table.decode_ns[0, 128], table.mixed_ns[0, 0]) < (launch_ns, 1)
    assert (table.mixed_ns[0, 1] >= launch_ns) == small_prompts_wait
    assert min(table.decode_ns[0, 129], table.mixed_ns[0, 129]) >= launch_ns


def test_no_step_draws_more_than_the_power_limit():
    s = shape("llama-3.1-70b", tensor=8)
    table = step_table(s)
    tokens = np.arange(1, table.max_tokens + 1)
    drawn = table.idle_w + table.mixed_j[tokens] / (table.mixed_ns[:, tokens].sum(axis=0) * 1e-9)
    assert drawn.max() <= 8 * 700 + 1e-6


def test_a_lower_clock_slows_prefill_hardly_decode_and_saves_energy():
    fast, slow = step_table(shape(clock=1.0)), step_table(shape(clock=0.6))
    assert slow.mixed_ns[0, 2048] > 1.4 * fast.mixed_ns[0, 2048]
    assert slow.decode_ns[0, 8] <= 1.05 * fast.decode_ns[0, 8]
    assert slow.mixed_j[2048] < fast.mixed_j[2048]


def test_a_pipeline_spreads_the_layers_and_adds_hops():
    whole = step_table(shape("llama-3.1-70b", tensor=4))
    halves = step_table(shape("llama-3.1-70b", tensor=4, pipeline=2))
    assert halves.stages == 2
    assert halves.decode_ns[:, 64].sum() == pytest.approx(whole.decode_ns[0, 64], rel=0.01)
    assert halves.hop_ns[0, 64] > 0
    assert halves.hop_ns[1].max() == 0


def test_the_head_stands_on_the_last_stage_only():
    table = step_table(shape("llama-3.1-70b", tensor=4, pipeline=2))
    # 128,256 x 8,192 in 16 bits, a fourth of it on each device: 525 MB, 157 us at 3.35 TB/s.
    last = table.rows_ns[1, 1:] - table.rows_ns[0, 1:]
    assert last.min() > 157_000
    assert table.rows_ns[0, 1:].max() < 40 * 30_000  # attention of 40 layers, 10 to 29 us each


def test_windows_are_told_apart_from_full_attention():
    s = shape("gpt-oss-20b")
    table, reached = step_table(s), s.pool.device.efficiency
    assert table.window_tokens == 128
    share = reached.decode["bf16"].memory / reached.window_decode["bf16"].memory
    assert table.window_fs[0] == pytest.approx(
        table.context_fs[0] * share
    )  # 12 layers of each kind


def test_recurrent_state_costs_by_the_sequence():
    table = step_table(shape("qwen3-next-80b-a3b", tensor=2))
    grown = table.rows_ns[0, 200] - table.rows_ns[0, 100]
    plain = step_table(shape("qwen3-30b-a3b", tensor=2))
    assert grown > plain.rows_ns[0, 200] - plain.rows_ns[0, 100]


def test_a_format_that_the_device_lacks_is_refused():
    with pytest.raises(ValueError, match=r"^mi355x does not compute in int8-w8a8$"):
        step_table(shape(device="mi355x", weights="int8-w8a8"))


def test_each_stage_of_unlike_devices_takes_what_it_would_among_its_like():
    plain = shape("llama-3.1-70b", tensor=4, pipeline=3)
    mixed = unlike(plain, ["h100-sxm-80gb", "l40s", "l40s"], (50, 20, 10))
    table = step_table(mixed)
    for stage in range(3):
        alike = step_table(mixed.at(stage))
        for name in ("decode_ns", "mixed_ns", "rows_ns"):
            assert (getattr(table, name)[stage] == getattr(alike, name)[stage]).all()
        for name in ("context_fs", "window_fs", "pair_fs", "window_pair_fs", "history_fs"):
            assert getattr(table, name)[stage] == getattr(alike, name)[stage]
    assert table.idle_w == 4 * (Rates(mixed.at(0)).idle_w + 2 * Rates(mixed.at(1)).idle_w)
    low, high = sorted(step_table(mixed.at(stage)).decode_j[64] for stage in (0, 1))
    assert low < table.decode_j[64] < high


def test_the_choice_of_a_token_passes_over_all_logits_on_every_device():
    per_row = []
    for tensor in (1, 8):
        s = shape("llama-3.1-8b", tensor=tensor)
        rows = np.array([64.0, 128.0])
        product = gemm(Rates(s), Gemm(4096, 128_256 // tensor, "none"), rows)
        gathered = all_gather(s, 2.0 * rows * 128_256)
        left = head(Rates(s), rows).seconds - product.seconds - gathered
        per_row.append((left[1] - left[0]) / 64)
    # 128,256 logits of 10 bytes at .7 of 3,350 GB/s.
    assert per_row == pytest.approx([128_256 * 10 / (0.7 * 3350e9)] * 2)
