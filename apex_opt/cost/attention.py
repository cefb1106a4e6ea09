"""Attention: what it costs by batch size, by cached token and by query-key pair.

The simulator's step table is linear in cached tokens and in pairs. Measured decode attention is
not: it has a shortest time, and takes longer than the rate of large reads until the cache in use is
large; few sequences leave the device idle, and heads cost time of their own. All this goes into the
part that depends on how many sequences decode, at `NOMINAL_CONTEXT` tokens a sequence, or at its
window; the slope is the rate of large reads, which never beats the memory.

vLLM V1 attends to prompts and decoding sequences of a step in one kernel. That of FlashAttention-2
computes tiles of 64 rows of queries, of which a decoding sequence fills one, in each query head by
itself; where all sequences decode, the query heads of a key-value head share a tile instead
(flash-attention csrc/flash_attn/src/flash_fwd_launch_template.h, `run_mha_fwd_splitkv_dispatch`;
flash_api.cpp, `seqlenq_ngroups_swapped`). So a cached token takes longer beside prompts. Such tiles
take as long as 80 to 88 rows of prompts on RTX PRO 6000 and RTX 4090 (10,100 mixed batches of five
tables of LLMServingSim 5daddb2): `mixed_rows` is 84, with a median error of 8 %.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from apex_opt.cost.context import gather_cost
from apex_opt.cost.curves import (
    Array,
    Reads,
    alone_seconds,
    blended,
    large_read_seconds,
    overhead_seconds,
    pair_seconds,
)
from apex_opt.cost.kernels import decode_curve, prefill_curve
from apex_opt.cost.operators import Attention
from apex_opt.cost.rates import Cost, Rates, half_precision, nothing
from apex_opt.spec.device_efficiency import LatentDecode
from apex_opt.spec.engine import Scheduler

NOMINAL_CONTEXT = 1024
"""Tokens a sequence at which the time of decode attention is met: the middle of chat traffic."""

ONE_KERNEL: frozenset[Scheduler] = frozenset({"vllm-v1"})
"""Schedulers whose engine attends to prompts and decoding sequences of a step in one kernel.

Source: vLLM vllm/v1/attention/backends/flash_attn.py. V0 had a kernel for either
(vllm/attention/backends/flash_attn.py), as TensorRT-LLM has; SGLang does not mix them by default.
"""


@dataclass(frozen=True)
class ContextRates:
    """Cost of attention in one layer, on one device.

    Attributes:
        context: per cached token of a decoding sequence, without window.
        window: the same, of a layer that sees a window only.
        pair, window_pair: per query-key pair of prefill.
        history: per token that a chunk of a prompt finds in the cache.
        mixed_context, mixed_window: beyond `context` and `window`, in steps with prompts.
        state: per sequence in the batch (recurrent state is read and written).
    """

    context: Cost
    window: Cost
    pair: Cost
    window_pair: Cost
    history: Cost
    mixed_context: Cost
    mixed_window: Cost
    state: Cost


def _work(rates: Rates, a: Attention, flops: float, moved: float, scores: float = 0.0) -> Cost:
    """Return the greater of compute and memory time, at the shares that attention reaches.

    Args:
        rates: of the device.
        a: attention.
        flops: operations.
        moved: bytes.
        scores: query-key pairs of every head.
    """
    curve, precision = prefill_curve(rates, a)
    work = np.array([flops]), np.array([scores])
    compute_s = pair_seconds(curve, rates.peak(precision), *work)
    memory_s = moved / (rates.bandwidth * decode_curve(rates, a)[0].memory)
    return rates.cost(np.maximum(compute_s, memory_s), work[0], np.array([moved]), precision)


def _read(rates: Rates, a: Attention) -> Cost:
    """Return the cost of a cached token that a decoding sequence attends to."""
    curve, precision = decode_curve(rates, a)
    if not isinstance(curve, LatentDecode):
        return _work(rates, a, a.decode_flops, a.kv_bytes) + _widened(rates, a)
    one = _reads(a, np.ones(1), 1.0)
    seconds = large_read_seconds(curve, rates.peak(precision), rates.bandwidth, one)
    return rates.cost(seconds, one.flops, one.moved, precision)


def _widened(rates: Rates, a: Attention) -> Cost:
    """Return what an engine's own kernel for 8-bit caches takes beside, per cached token."""
    if rates.shape.kv_cache.bytes_per_element > 1 or not a.kv_bytes:
        return nothing(1)
    seconds = np.array([rates.shape.release.overheads.narrow_cache_ns * 1e-9 * a.query_heads])
    return rates.cost(seconds, np.zeros(1), np.zeros(1), half_precision(rates.device))


def _reads(a: Attention, sequences: Array, tokens: float) -> Reads:
    """Return what decoding sequences read of so many tokens each, and of their states."""
    moved = tokens * (a.kv_bytes + a.index_bytes) + 2.0 * a.state_bytes
    return Reads(
        moved=sequences * moved,
        length=np.full_like(sequences, tokens if a.kv_bytes else 0.0),
        heads=sequences * a.heads,
        query_heads=sequences * a.query_heads,
        flops=sequences * tokens * a.decode_flops,
    )


def context_rates(rates: Rates, a: Attention) -> ContextRates:
    """Return the cost rates of attention in one layer."""
    none = nothing(1)
    read = _read(rates, a)
    pair = _work(rates, a, a.pair_flops, 0.0, float(a.query_heads))
    index = _work(rates, a, a.index_flops, a.index_bytes)
    index_pair = _work(rates, a, a.index_flops, 0.0)
    mixed = mixed_rate(rates, a, read)
    windowed = a.window is not None
    return ContextRates(
        context=index + (none if windowed else read),
        window=read if windowed else none,
        pair=index_pair + (none if windowed else pair),
        window_pair=pair if windowed and not a.slots else none,
        history=history_rate(rates, a),
        mixed_context=none if windowed else mixed,
        mixed_window=mixed if windowed else none,
        state=_work(rates, a, 0.0, 2.0 * a.state_bytes),
    )


def history_rate(rates: Rates, a: Attention) -> Cost:
    """Return the cost of one cached token before a chunk of a prompt, beyond its query-key pairs.

    Softmax attention reads the token's keys and values once a chunk. Latent attention also projects
    it up, then writes and reads keys and values of all heads; one that is spread over devices is
    gathered before. A window bounds what is read by itself; a recurrent state reads nothing.
    """
    if a.window is not None or not a.kv_bytes:
        return nothing(1)
    read = _work(rates, a, a.expand_flops, a.kv_bytes + 2.0 * a.expanded_bytes)
    return read + gather_cost(rates, a)


def mixed_rate(rates: Rates, a: Attention, read: Cost) -> Cost:
    """Return what reading a cached token to decode costs more in a step with prompts.

    Args:
        rates: of the device.
        a: attention; where latent, prompts have a kernel of their own.
        read: the cost in a step without prompts.
    """
    rows = rates.device.efficiency.mixed_rows
    if rates.shape.release.scheduler not in ONE_KERNEL or not rows or a.expand_flops:
        return nothing(1)
    whole = _work(rates, a, rows * a.decode_flops, a.kv_bytes, float(rows * a.query_heads))
    return Cost(
        np.maximum(whole.seconds - read.seconds, 0.0), np.maximum(whole.joules - read.joules, 0.0)
    )


def prompt_cost(rates: Rates, a: Attention, tokens: Array) -> Cost:
    """Return what attention costs a step with prompts, by its tokens, beyond query-key pairs.

    All tokens count as of one prompt: its last queries, which see most, end last.
    """
    curve, precision = prefill_curve(rates, a)
    moved = tokens * (a.io_bytes + a.kv_bytes + a.expanded_bytes)
    streamed = moved / (rates.bandwidth * curve.memory)
    paced = blended(streamed, curve.length_ns * 1e-9 * tokens, curve.blend)
    slots = tokens * (a.slots * a.pair_flops)
    computed = pair_seconds(curve, rates.peak(precision), slots, np.zeros_like(slots))
    seconds = np.where(tokens > 0, curve.floor_us * 1e-6 + computed + paced, 0.0)
    return rates.cost(seconds, slots, moved, precision)


def decode_cost(rates: Rates, a: Attention, sequences: Array) -> Cost:
    """Return what attention costs by decoding sequences, beyond the rate of large reads.

    That a sequence alone is read more slowly counts for any number of them: few microseconds.
    """
    curve, precision = decode_curve(rates, a)
    seen = min(a.window or NOMINAL_CONTEXT, NOMINAL_CONTEXT)
    one = _reads(a, np.ones(1), seen)
    large = large_read_seconds(curve, rates.peak(precision), rates.bandwidth, one)
    waits = np.maximum(alone_seconds(curve, one) - large, 0.0)
    seconds = overhead_seconds(curve, _reads(a, sequences, seen)) + waits
    seconds = np.where(sequences > 0, seconds, 0.0)
    none = np.zeros_like(seconds)
    return rates.cost(seconds, none, none, half_precision(rates.device))


def token_cost(rates: Rates, a: Attention, tokens: Array) -> Cost:
    """Return the cost of passing tokens through a recurrent state; its bytes count by sequence."""
    precision, flops = half_precision(rates.device), a.token_flops * tokens
    seconds = flops / (rates.peak(precision) * prefill_curve(rates, a)[0].compute)
    return rates.cost(seconds, flops, np.zeros_like(flops), precision)
