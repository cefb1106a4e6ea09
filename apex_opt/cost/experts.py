"""The routed experts of a layer: which are read, how many visits the fullest device gets."""

from __future__ import annotations

from statistics import NormalDist

import numpy as np

from apex_opt.cost import collectives
from apex_opt.cost.curves import Array, experts_seconds
from apex_opt.cost.formats import format_precision, nearest, product_format, quantize_seconds
from apex_opt.cost.operators import ACTIVATION_BYTES, Experts
from apex_opt.cost.rates import Cost, Rates
from apex_opt.cost.shape import Shape

ROUTING_KERNELS = 2
"""Kernels around the experts that their tables leave out: top-k of the router's scores, and the sum
with the residual or the shared expert.
"""

ROUTING_US = 3.0
"""Shortest time of each (AIConfigurator times any element-wise kernel as 3 us and its bytes)."""

EXPERT_PRODUCTS = 2
"""Products whose inputs are quantised: up with gate, and down."""


def read_share(top_k: int, total: int, tokens: Array) -> Array:
    """Return the share of `total` experts that tokens read, each of which visits `top_k`.

    Experts are unequally popular. Taken is that every way to divide the visits among them is as
    likely: the chance p that a token visits an expert is of density b (1 - p)^(b - 1) with
    b = total / top_k - 1, its mean top_k / total, its standard deviation nearly as much. Then n
    tokens pass an expert by with probability b / (b + n). Were all equally popular, this would be
    (1 - top_k / total)^n, and batches in between would read up to 30 % more.

    Source: closed loops of nine mixtures on three engines; with deviations of 0, 0.7, 1 and 1.4
    times the mean their TPOT is off by 11.7, 11.0, 11.0 and 11.7 %, before any overhead is fitted.
    """
    visited = tokens * top_k
    return np.asarray(visited / np.maximum(total - top_k + visited, 1.0))


def above_mean(ranks: int) -> float:
    """Return by how many standard deviations the largest of `ranks` normal values is over the mean.

    Source: G. Blom 1958, "Statistical Estimates and Transformed Beta-Variables": the quantile
    (g - 3/8) / (g + 1/4).
    """
    return NormalDist().inv_cdf((ranks - 0.375) / (ranks + 0.25))


def touched(e: Experts, tokens: Array) -> Array:
    """Return how many of its experts the device reads that reads most.

    Of the devices that hold L experts each, one reads L p in expectation, p being the share of all
    experts that is read; the fullest reads some standard deviations sqrt(L p (1 - p)) more, but no
    more than there are.
    """
    read = read_share(e.top_k, e.total, tokens)
    mean = e.local * read
    if e.ranks == 1:
        return mean
    return np.minimum(mean + above_mean(e.ranks) * np.sqrt(mean * (1.0 - read)), e.local)


def visits(e: Experts, tokens: Array, skew: float | None = None) -> Array:
    """Return the pairs of token and expert that the fullest device computes.

    Args:
        e: the experts, as a device sees them.
        tokens: batch sizes.
        skew: the load of the fullest device over the mean, less 1, that routing shows in the long
            run: 0 is even, 1.2 is what a power law of exponent 1.2 shows over 8 devices
            (128 experts, 8 a token; MoE tables of aiconfigurator-core); None: what popularity of
            its experts gives.

    Returns:
        mean + z sqrt(mean + mean^2 (E - L) / (L (E + 1))) of L experts of E: the first part under
        the root is chance, the second the variance of the popularity of L experts together
        (Dirichlet's distribution, all of whose parameters are 1), z as `above_mean`; with a skew
        mean (1 + skew) + z sqrt(mean); no more than every expert of the device for every token.
    """
    mean = tokens * e.top_k / e.ranks
    if e.ranks == 1:
        return np.asarray(mean)
    uneven = (e.total - e.local) / (e.local * (e.total + 1)) if skew is None else 0.0
    chance = above_mean(e.ranks) * np.sqrt(mean + uneven * mean**2)
    fullest = mean * (1.0 + (skew or 0.0)) + chance
    return np.minimum(fullest, tokens * min(e.top_k, e.local))


def exchange(shape: Shape, e: Experts, tokens: Array) -> Array:
    """Return seconds in which ranks exchange the tokens of a layer, `tokens` of each; 0 for one.

    To whole experts, each device of a rank sends its part of the rank's tokens, once to each device
    that a token visits at most, and gets as much back: two all-to-alls (DeepEP). To experts that
    are split over all ranks, every token of every rank goes: all-gather and reduce-scatter (vLLM,
    `allgather_reducescatter`).
    """
    if shape.attention_data == 1:
        return np.zeros_like(tokens)
    devices, each = shape.stage_devices, ACTIVATION_BYTES * shape.model.hidden_size * tokens
    if e.ranks > 1:
        sent = each * min(e.top_k, devices) / shape.tensor
        return 2.0 * collectives.collective(shape, "all_to_all", devices, sent)
    whole = each * shape.attention_data
    return collectives.collective(shape, "all_gather", devices, whole) + collectives.collective(
        shape, "reduce_scatter", devices, whole
    )


def handling_seconds(shape: Shape, e: Experts, tokens: Array) -> Array:
    """Return what the engine adds to a layer of experts: see `expert_layer_us` of its overheads.

    Tokens are sorted by expert, and rows of intermediate results kept, for all visits of the tokens
    that a device has, its own experts or not (vLLM fused_moe.py, `expert_map`). Without attention
    ranks each device has all tokens; ranks send tokens only to the devices that they visit.
    """
    own = shape.release.overheads
    shared = shape.attention_data > 1
    handled = visits(e, tokens, shape.expert_skew) if shared else tokens * e.top_k
    return own.expert_layer_us * 1e-6 + own.expert_visit_ns * 1e-9 * handled


def experts(rates: Rates, e: Experts, tokens: Array) -> Cost:
    """Return the cost of the routed experts on the fullest device.

    Args:
        rates: of the device.
        e: the experts, as a device sees them.
        tokens: of all ranks of the replica together.
    """
    device, shape = rates.device, rates.shape
    weights, hidden = shape.weights, shape.model.hidden_size
    name = product_format(device, weights)
    precision = format_precision(device, name)
    computed = visits(e, tokens, shape.expert_skew)
    moved = touched(e, tokens) * e.weights * weights.bits / 8
    moved = moved + 2 * ACTIVATION_BYTES * computed * hidden
    flops = 2.0 * computed * e.weights
    seconds = experts_seconds(
        nearest(device.efficiency.experts, name),
        rates.peak(precision),
        rates.bandwidth,
        (flops, moved),
        computed,
        np.array(float(hidden)),
    )
    seconds = seconds + ROUTING_KERNELS * ROUTING_US * 1e-6 + handling_seconds(shape, e, tokens)
    seconds = seconds + EXPERT_PRODUCTS * quantize_seconds(rates, name)
    return rates.cost(np.where(tokens > 0, seconds, 0.0), flops, moved, precision)
