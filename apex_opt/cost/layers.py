"""Time and energy of one layer for every batch size at once.

`tokens` is an array of batch sizes; what is returned are arrays of the same length, for one device.
The parts that grow with contexts rather than tokens (attention over the cache, query-key pairs) are
rates per cached token and per pair, in `ContextRates`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from apex_opt.cost import collectives
from apex_opt.cost.operators import ACTIVATION_BYTES, Attention, Experts, Gemm, Layer
from apex_opt.cost.rates import (
    ELEMENTWISE_MEMORY,
    Array,
    Cost,
    Rates,
    compute_precision,
    half_precision,
    nothing,
)
from apex_opt.spec.pools import Precision

MOE_FLOOR_US = 30.0
"""Routing, permutation and launch of a mixture of experts, per layer: what measured fused MoE
kernels of aiconfigurator-core take beyond their expert bytes and operations (H100, H200; prototype
fit, Apache-2.0 data).
"""


def gemm(rates: Rates, product: Gemm, tokens: Array) -> Cost:
    """Return the cost of a matrix product of `tokens` rows."""
    precision, bits = storage(rates, product.quantized)
    flops = 2.0 * tokens * product.weights
    moved = product.weights * bits / 8 + ACTIVATION_BYTES * tokens * (product.k + product.n)
    efficiency = rates.device.efficiency
    return rates.roofline(
        np.where(tokens > 0, flops, 0.0),
        np.where(tokens > 0, moved, 0.0),
        precision,
        efficiency.memory,
        efficiency.gemm_floor_us,
    )


def storage(rates: Rates, quantized: str) -> tuple[Precision, float]:
    """Return the precision of a product and the bits of its weights.

    Raises:
        ValueError: the device cannot compute in this format; enumeration leaves such replicas out.
    """
    weights = rates.shape.weights
    covered = {"all": {"linear", "experts", "none"}, "linear": {"linear", "experts"}}
    if quantized not in covered.get(weights.applies_to, {"experts"}):
        return half_precision(rates.device), 16.0
    precision = compute_precision(rates.device, weights)
    if precision is None:
        raise ValueError(f"{rates.device.name} does not compute in {weights.name}")
    return precision, weights.bits


def experts(rates: Rates, e: Experts, tokens: Array) -> Cost:
    """Return the cost of the routed experts.

    A batch of n tokens touches E (1 - (1 - k/E)^n) of E experts in expectation, each read once.
    With whole experts on g devices the slowest device gets mean + sqrt(2 mean ln g) of the n k
    visits (expected maximum of g near-normal loads); balanced routing is assumed, not skew.
    """
    precision, bits = storage(rates, "experts")
    touched = e.local * -np.expm1(tokens * math.log1p(-min(e.top_k / e.total, 1 - 1e-9)))
    mean = tokens * e.top_k / e.ranks
    visits = mean + np.sqrt(2.0 * mean * math.log(e.ranks)) if e.ranks > 1 else mean
    visits = np.minimum(visits, tokens * min(e.top_k, e.local))
    moved = touched * e.weights * bits / 8
    moved = moved + 2 * ACTIVATION_BYTES * visits * rates.shape.model.hidden_size
    efficiency = rates.device.efficiency
    return rates.roofline(
        2.0 * visits * e.weights, moved, precision, efficiency.memory, MOE_FLOOR_US
    )


def elementwise(rates: Rates, bytes_per_token: float, tokens: Array) -> Cost:
    """Return the cost of norms, rotary embedding, activation and residual sums."""
    moved = bytes_per_token * tokens
    seconds = moved / (rates.bandwidth * ELEMENTWISE_MEMORY)
    return rates.cost(seconds, np.zeros_like(moved), moved, half_precision(rates.device))


def recurrence(rates: Rates, flops_per_token: float, tokens: Array) -> Cost:
    """Return the cost of passing tokens through a recurrent state; its bytes count by sequence."""
    precision, flops = half_precision(rates.device), flops_per_token * tokens
    seconds = flops / (rates.peak(precision) * rates.device.efficiency.attention)
    return rates.cost(seconds, flops, np.zeros_like(flops), precision)


def layer_cost(rates: Rates, one: Layer, tokens: Array) -> Cost:
    """Return the cost of a layer without what attention reads from the cache."""
    total = elementwise(rates, one.elementwise_bytes, tokens)
    for product in one.gemms:
        total = total + gemm(rates, product, tokens)
    if one.experts is not None:
        total = total + experts(rates, one.experts, tokens)
    total = total + recurrence(rates, one.attention.token_flops, tokens)
    floor = np.where(tokens > 0, rates.device.efficiency.attention_floor_us * 1e-6, 0.0)
    total = total + Cost(floor, np.zeros_like(floor))
    if one.all_reduces:
        size = ACTIVATION_BYTES * tokens * rates.shape.model.hidden_size
        wait = one.all_reduces * collectives.all_reduce(rates.shape, size)
        total = total + rates.communication(wait)
    return total


@dataclass(frozen=True)
class ContextRates:
    """Cost of attention in one layer, on one device.

    Attributes:
        context: per cached token of a decoding sequence, without window.
        window: the same, of a layer that sees a window only.
        pair, window_pair: per query-key pair of prefill.
        state: per sequence in the batch (recurrent state is read and written).
    """

    context: Cost
    window: Cost
    pair: Cost
    window_pair: Cost
    state: Cost


def context_rates(rates: Rates, a: Attention) -> ContextRates:
    """Return the cost rates of attention: the greater of compute and memory time of each."""
    precision = half_precision(rates.device)
    attention = rates.device.efficiency.attention

    def rate(flops: float, moved: float) -> Cost:
        compute_s = flops / (rates.peak(precision) * attention)
        memory_s = moved / (rates.bandwidth * rates.device.efficiency.kv_memory)
        work = np.array([max(compute_s, memory_s)])
        return rates.cost(work, np.array([flops]), np.array([moved]), precision)

    none = nothing(1)
    read, pair = rate(a.decode_flops, a.kv_bytes), rate(a.pair_flops, 0.0)
    index, index_pair = rate(a.index_flops, a.index_bytes), rate(a.index_flops, 0.0)
    windowed = a.window is not None
    return ContextRates(
        context=index + (none if windowed else read),
        window=read if windowed else none,
        pair=index_pair + (none if windowed else pair),
        window_pair=pair if windowed else none,
        state=rate(0.0, 2.0 * a.state_bytes),
    )
