"""Attention: what it costs by batch size, by cached token and by query-key pair.

The simulator's step table is linear in cached tokens and in pairs. Measured decode attention is
not: it has a shortest time, and takes longer than the rate of large reads until the cache in use is
large. Both go into the part that depends on how many sequences decode, at `NOMINAL_CONTEXT` tokens
a sequence; the slope is the rate of large reads, which never beats the memory.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from apex_opt.cost.curves import Array, ramp_seconds
from apex_opt.cost.formats import attention_format
from apex_opt.cost.operators import Attention
from apex_opt.cost.rates import Cost, Rates, half_precision, nothing
from apex_opt.spec.device_efficiency import Decode, Prefill
from apex_opt.spec.pools import Precision

NOMINAL_CONTEXT = 1024
"""Tokens a sequence at which the time of decode attention is met: the middle of chat traffic."""


@dataclass(frozen=True)
class ContextRates:
    """Cost of attention in one layer, on one device.

    Attributes:
        context: per cached token of a decoding sequence, without window.
        window: the same, of a layer that sees a window only.
        pair, window_pair: per query-key pair of prefill.
        history: per token that a chunk of a prompt finds in the cache.
        state: per sequence in the batch (recurrent state is read and written).
    """

    context: Cost
    window: Cost
    pair: Cost
    window_pair: Cost
    history: Cost
    state: Cost


def prefill_curve(rates: Rates, a: Attention) -> tuple[Prefill, Precision]:
    """Return how prompts are attended, and in which precision.

    Latent attention expands an 8-bit cache and computes in 16 bits (vLLM, FlashMLA).
    """
    curves = rates.device.efficiency.prefill
    if a.expand_flops:
        return curves["bf16"], half_precision(rates.device)
    name, precision = attention_format(rates.device, curves, rates.shape.kv_cache)
    return curves[name], precision


def decode_curve(rates: Rates) -> Decode:
    """Return how decoding sequences read their cache."""
    curves = rates.device.efficiency.decode
    return curves[attention_format(rates.device, curves, rates.shape.kv_cache)[0]]


def _work(rates: Rates, a: Attention, flops: float, moved: float) -> Cost:
    """Return the greater of compute and memory time, at the shares that attention reaches."""
    curve, precision = prefill_curve(rates, a)
    compute_s = flops / (rates.peak(precision) * curve.compute)
    seconds = max(compute_s, moved / (rates.bandwidth * decode_curve(rates).memory))
    return rates.cost(np.array([seconds]), np.array([flops]), np.array([moved]), precision)


def context_rates(rates: Rates, a: Attention) -> ContextRates:
    """Return the cost rates of attention in one layer."""
    none = nothing(1)
    read = _work(rates, a, a.decode_flops, a.kv_bytes)
    pair = _work(rates, a, a.pair_flops, 0.0)
    index = _work(rates, a, a.index_flops, a.index_bytes)
    index_pair = _work(rates, a, a.index_flops, 0.0)
    windowed = a.window is not None
    return ContextRates(
        context=index + (none if windowed else read),
        window=read if windowed else none,
        pair=index_pair + (none if windowed else pair),
        window_pair=pair if windowed else none,
        history=history_rate(rates, a),
        state=_work(rates, a, 0.0, 2.0 * a.state_bytes),
    )


def history_rate(rates: Rates, a: Attention) -> Cost:
    """Return the cost of one cached token before a chunk of a prompt, beyond its query-key pairs.

    Softmax attention reads the token's keys and values once a chunk. Latent attention also projects
    it up, then writes and reads keys and values of all heads. A window bounds what is read by
    itself; a recurrent state reads nothing.
    """
    if a.window is not None or not a.kv_bytes:
        return nothing(1)
    return _work(rates, a, a.expand_flops, a.kv_bytes + 2.0 * a.expanded_bytes)


def prompt_cost(rates: Rates, a: Attention, tokens: Array) -> Cost:
    """Return what attention costs a step with prompts, by its tokens, beyond query-key pairs.

    All tokens count as of one prompt: its last queries, which see most, end last.
    """
    curve, precision = prefill_curve(rates, a)
    moved = tokens * (a.io_bytes + a.kv_bytes + a.expanded_bytes)
    seconds = curve.floor_us * 1e-6 + moved / (rates.bandwidth * curve.memory)
    seconds = np.where(tokens > 0, seconds + curve.length_ns * 1e-9 * tokens, 0.0)
    return rates.cost(seconds, np.zeros_like(moved), moved, precision)


def decode_cost(rates: Rates, a: Attention, sequences: Array) -> Cost:
    """Return what attention costs by decoding sequences, beyond the rate of large reads."""
    curve = decode_curve(rates)
    seen = min(a.window or NOMINAL_CONTEXT, NOMINAL_CONTEXT)
    moved = sequences * seen * (a.kv_bytes + a.index_bytes)
    seconds = np.where(sequences > 0, curve.floor_us * 1e-6 + ramp_seconds(curve, moved), 0.0)
    none = np.zeros_like(seconds)
    return rates.cost(seconds, none, none, half_precision(rates.device))


def token_cost(rates: Rates, a: Attention, tokens: Array) -> Cost:
    """Return the cost of passing tokens through a recurrent state; its bytes count by sequence."""
    precision, flops = half_precision(rates.device), a.token_flops * tokens
    seconds = flops / (rates.peak(precision) * prefill_curve(rates, a)[0].compute)
    return rates.cost(seconds, flops, np.zeros_like(flops), precision)
