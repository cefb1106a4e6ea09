from dataclasses import replace

import numpy as np
import pytest

from apex_opt.cost.attention import (
    NOMINAL_CONTEXT,
    context_rates,
    decode_cost,
    history_rate,
    mixed_rate,
    prompt_cost,
)
from apex_opt.cost.curves import Reads, decode_seconds
from apex_opt.cost.operators import layer
from apex_opt.cost.rates import Rates
from apex_opt.spec import catalog
from tests.shapes import shape


def attention(s, kind=-1):
    return layer(s.model.layers[s.model.sequence()[kind]], s).attention


@pytest.mark.parametrize("cache", ["bf16", "fp8"])
def test_decode_attention_is_met_at_the_nominal_context(cache):
    s = shape("llama-3.1-70b", tensor=8, kv_cache=cache)
    rates, a = Rates(s), attention(s)
    sequences = np.array([1.0, 16.0, 256.0])
    moved = sequences * NOMINAL_CONTEXT * a.kv_bytes
    curve = s.pool.device.efficiency.decode[cache]
    slope = context_rates(rates, a).context.seconds[0]
    found = decode_cost(rates, a, sequences).seconds + slope * sequences * NOMINAL_CONTEXT
    tokens, none = np.full(3, float(NOMINAL_CONTEXT)), np.zeros(3)
    reads = Reads(moved, tokens, sequences, sequences * 8, none)  # of 8 and 64 heads
    expected = decode_seconds(curve, 1, rates.bandwidth, reads)
    # One sequence alone is met; that it is read more slowly counts for many too.
    assert found[0] == pytest.approx(expected[0])
    assert found.tolist() == pytest.approx(expected.tolist(), rel=0.02)


def recurrent(s):
    kinds = (layer(kind, s).attention for kind in s.model.layers.values())
    return next(a for a in kinds if a.kind == "linear")


@pytest.mark.parametrize("cache", ["bf16", "fp8"])
@pytest.mark.parametrize("tensor", [1, 8])
def test_latent_decoding_is_met_at_the_nominal_context(cache, tensor):
    s = shape("deepseek-v3", "h200-sxm-141gb", tensor=tensor, weights="fp8-block", kv_cache=cache)
    rates, a, curve = Rates(s), attention(s), catalog.device("h200").efficiency.latent_decode[cache]
    sequences, heads = np.array([1.0, 16.0, 256.0]), 128 / tensor
    tokens = sequences * NOMINAL_CONTEXT
    width = {"bf16": 2, "fp8": 1}[cache]  # 512 + 64 numbers a token, 1,088 products a head
    reads = Reads(
        moved=tokens * 576.0 * width,
        length=np.full(3, float(NOMINAL_CONTEXT)),
        heads=sequences * heads,
        query_heads=sequences * heads,
        flops=2.0 * tokens * heads * 1088,
    )
    expected = decode_seconds(curve, rates.peak(cache), rates.bandwidth, reads)
    slope = context_rates(rates, a).context.seconds[0]
    found = decode_cost(rates, a, sequences).seconds + slope * tokens
    assert found[0] == pytest.approx(expected[0])
    assert found.tolist() == pytest.approx(expected.tolist(), rel=0.02)


def test_a_window_costs_its_heads_and_at_most_its_tokens():
    s = shape("gpt-oss-120b", tensor=2)
    rates, a = Rates(s), attention(s, kind=0)
    curve = s.pool.device.efficiency.window_decode["bf16"]
    token = context_rates(rates, a).window.seconds[0]
    found = decode_cost(rates, a, np.array([256.0])).seconds[0] + token * 256 * 128
    # 128 tokens of 4 heads of 64, keys and values, 2 bytes each; 32 query heads.
    moved = 256 * 128 * 4 * 64 * 2 * 2.0
    reads = Reads(*(np.array([n]) for n in (moved, 128.0, 256.0 * 4, 256.0 * 32, 0.0)))
    expected = decode_seconds(curve, 1, rates.bandwidth, reads)[0]
    assert found == pytest.approx(expected, rel=0.02)
    # Keys and values of 4 heads of 64, 2 bytes each.
    assert token == pytest.approx(4 * 64 * 2 * 2 / (3350e9 * curve.memory))
    assert context_rates(rates, a).context.seconds[0] == 0


def test_a_recurrent_state_is_read_and_written_by_sequence_and_passed_token_by_token():
    s = shape("qwen3-next-80b-a3b", "h200-sxm-141gb", tensor=2)
    rates, a = Rates(s), recurrent(s)
    reached = s.pool.device.efficiency
    state = context_rates(rates, a).state.seconds[0]
    assert state == pytest.approx(
        2 * a.state_bytes / (4800e9 * reached.linear_decode["bf16"].memory)
    )
    prompt = prompt_cost(rates, a, np.array([1000.0, 2000.0])).seconds
    assert prompt[1] - prompt[0] >= reached.linear_prefill["bf16"].length_ns * 1e-6


def test_narrow_heads_pay_for_their_exponentials():
    s = shape("gpt-oss-120b", tensor=2)
    rates, a = Rates(s), attention(s)
    curve = s.pool.device.efficiency.prefill["bf16"]
    assert curve.score_ps > 0
    pair = context_rates(rates, a).pair.seconds[0]
    assert pair >= 32 * curve.score_ps * 1e-12  # of 32 query heads
    assert pair >= a.pair_flops / (989.4e12 * curve.compute)


def test_a_device_without_such_kernels_attends_as_with_full_attention():
    for name, kind in (("deepseek-v3", -1), ("gpt-oss-120b", 0)):
        s = shape(name, "mi300x", tensor=8, weights="bf16")
        rates, a = Rates(s), attention(s, kind=kind)
        curve = s.pool.device.efficiency.decode["bf16"]
        assert decode_cost(rates, a, np.array([1.0])).seconds[0] >= curve.floor_us * 1e-6
        pair = context_rates(rates, a)
        share = s.pool.device.efficiency.prefill["bf16"].compute
        expected = a.pair_flops / (1307e12 * share)
        assert pair.pair.seconds[0] + pair.window_pair.seconds[0] == pytest.approx(
            expected, rel=0.01
        )


def test_no_sequence_and_no_prompt_cost_nothing():
    s = shape()
    rates, a, none = Rates(s), attention(s), np.array([0.0])
    assert decode_cost(rates, a, none).seconds[0] == 0
    assert prompt_cost(rates, a, none).seconds[0] == 0


def test_an_8_bit_cache_halves_what_a_token_costs_where_kernels_know_it():
    wide, narrow = shape(kv_cache="bf16"), shape(kv_cache="fp8")
    per_token = [context_rates(Rates(s), attention(s)).context.seconds[0] for s in (wide, narrow)]
    assert per_token[0] / per_token[1] == pytest.approx(2, rel=0.1)


@pytest.mark.parametrize(("cache", "heads"), [("bf16", 0), ("fp8", 16)])
def test_an_old_vllm_widens_an_8_bit_cache_for_each_query_head(cache, heads):
    new = shape("llama-3.1-70b", tensor=4, kv_cache=cache)
    old = replace(new, release=catalog.release("vllm", "0.6.0"))
    here, there = (context_rates(Rates(s), attention(s)).context.seconds[0] for s in (new, old))
    assert there - here == pytest.approx(heads * 0.18e-9)


def test_a_device_without_kernels_for_8_bit_caches_attends_in_16():
    s = shape(device="mi300x", kv_cache="fp8")
    pair = context_rates(Rates(s), attention(s)).pair.seconds[0]
    # 4 operations for each of 128 numbers of 32 heads, at the share of the 16-bit peak.
    share = s.pool.device.efficiency.prefill["bf16"].compute
    assert pair == pytest.approx(4 * 32 * 128 / (1307e12 * share))


def test_latent_attention_computes_in_16_bits_over_any_cache():
    pairs = [
        context_rates(Rates(s), attention(s)).pair.seconds[0]
        for s in (
            shape("deepseek-v3", tensor=8, weights="fp8-block", kv_cache=cache)
            for cache in ("bf16", "fp8")
        )
    ]
    assert pairs[0] == pairs[1]


def test_a_cached_prefix_is_read_once_a_chunk():
    s = shape()
    read = history_rate(Rates(s), attention(s)).seconds[0]
    # 8 heads of 128, keys and values, 2 bytes.
    assert read >= 8 * 128 * 2 * 2 / 3350e9
    assert read == pytest.approx(context_rates(Rates(s), attention(s)).context.seconds[0])


def test_beside_prompts_a_decoding_sequence_fills_a_tile_of_flash_attention_2():
    s = shape(device="rtx-4090")
    found = context_rates(Rates(s), attention(s))
    # 84 rows of 32 heads, 4 operations for each of 128 numbers, at the share of prompts.
    share = s.pool.device.efficiency.prefill["bf16"].compute
    whole = 84 * 4 * 32 * 128 / (165.2e12 * share)
    assert found.context.seconds[0] + found.mixed_context.seconds[0] == pytest.approx(whole)
    # Measured: 1658 us less 999 us for 65,536 more tokens beside a prompt of 1,024
    # (LLMServingSim 5daddb2, RTX 4090, Llama-3.1-8B).
    assert whole == pytest.approx((1658e-6 - 999e-6) / 65_536, rel=0.1)
    assert found.mixed_window.seconds[0] == 0


def test_a_sequence_that_fills_its_tile_costs_no_more_beside_prompts():
    s = shape(device="h100-sxm-80gb")
    assert s.pool.device.efficiency.mixed_rows == 0
    assert context_rates(Rates(s), attention(s)).mixed_context.seconds[0] == 0


def test_only_engines_with_one_kernel_for_prompts_and_decoding_pay_for_it():
    s = shape(device="rtx-4090")
    old = replace(s, release=catalog.release("vllm", "0.6"))
    read = context_rates(Rates(s), attention(s)).context
    assert mixed_rate(Rates(s), attention(s), read).seconds[0] > 0
    assert mixed_rate(Rates(old), attention(old), read).seconds[0] == 0


def test_layers_with_a_window_pay_for_their_window_beside_prompts():
    s = shape("gpt-oss-20b", "rtx-4090", weights="mxfp4")
    windowed = [
        context_rates(Rates(s), layer(kind, s).attention)
        for kind in s.model.layers.values()
        if kind.attention.window_tokens
    ]
    assert windowed
    assert all(r.mixed_window.seconds[0] > 0 == r.mixed_context.seconds[0] for r in windowed)


def test_latent_attention_has_a_kernel_of_its_own_for_prompts():
    s = shape("deepseek-v2-lite", "rtx-4090")
    assert context_rates(Rates(s), attention(s)).mixed_context.seconds[0] == 0


def test_latent_attention_projects_a_cached_prefix_up():
    s = shape("deepseek-v3", tensor=8, weights="fp8-block")
    read = history_rate(Rates(s), attention(s)).seconds[0]
    # 16 heads: 192 numbers of a key and 128 of a value, written and read in 16 bits.
    assert read >= (1152 + 2 * 16 * 320 * 2) / 3350e9


def test_windows_and_recurrent_states_read_no_history():
    for name, tensor in (("gpt-oss-20b", 1), ("qwen3-next-80b-a3b", 2)):
        s = shape(name, tensor=tensor)
        free = [
            layer(kind, s).attention
            for kind in s.model.layers.values()
            if layer(kind, s).attention.window or not layer(kind, s).attention.kv_bytes
        ]
        assert free
        assert all(history_rate(Rates(s), a).seconds[0] == 0 for a in free)


def test_of_sparse_prompts_vllm_computes_every_slot_and_others_what_is_seen():
    s = shape("deepseek-v3.2", "h200-sxm-141gb", tensor=8, weights="fp8-block")
    other = replace(s, release=catalog.release("sglang", "0.5.14"))
    rates, a, seen = Rates(s), attention(s), attention(other)
    assert (a.slots, seen.slots) == (2048, 0)
    assert context_rates(rates, a).window_pair.seconds[0] == 0
    pair = context_rates(Rates(other), seen).window_pair.seconds[0]
    more = prompt_cost(rates, a, np.array([1e4])).seconds[0]
    more -= prompt_cost(Rates(other), seen, np.array([1e4])).seconds[0]
    assert more == pytest.approx(1e4 * 2048 * pair)
    # FlashMLA, 16,384 tokens of 64 heads on H200: 7,944 us (aiconfigurator-core 0.12.0).
    whole = prompt_cost(
        rates, attention(shape("deepseek-v3.2", "h200", tensor=2)), np.array([16384.0])
    )
    assert whole.seconds[0] == pytest.approx(7944e-6, rel=0.05)
