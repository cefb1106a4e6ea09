"""Time of a kernel by its size: the few forms to which measured kernels are fitted.

Each function takes one curve of `apex_opt.spec.device_efficiency` or `apex_opt.spec.device_link`,
the rates of the data sheet, and sizes as arrays; it returns seconds. `apexopt calibrate` fits the
same functions that planning reads. Since shares of the data sheet are at most 1 and every other
term adds time, no kernel is faster than its roofline.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from apex_opt.spec.device_efficiency import (
    Decode,
    ExpertProduct,
    LatentDecode,
    PowerUse,
    Prefill,
    Product,
)
from apex_opt.spec.device_link import Collective

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Prompts:
    """Prompts as attention sees them.

    Attributes:
        flops: operations over all query-key pairs.
        moved: bytes of queries, keys, values and outputs.
        length: tokens of the longest prompt: its last queries see most and end last.
        scores: query-key pairs of every head.
    """

    flops: Array
    moved: Array
    length: Array
    scores: Array


@dataclass(frozen=True)
class Reads:
    """Decoding sequences as attention sees them.

    Attributes:
        moved: bytes of their caches, windows or states.
        length: tokens that one of them reads; 0 of a state.
        heads, query_heads: of all sequences; see `Attention.heads`.
        flops: operations of all heads on all latent vectors.
    """

    moved: Array
    length: Array
    heads: Array
    query_heads: Array
    flops: Array


TILE_ROWS = 64
"""Rows that a matrix unit computes at least: the smallest tile of a warp group's instructions (PTX
wgmma: m64); with it small batches of narrow products are met.
"""

DEPTH = 128
"""Inner dimension that one turn of a product's main loop takes; a unit only."""

SHARP = 6.0
"""How sharply reads of the same cache stop to come from the L2 cache as they grow (a power of their
size over `cached_mb`; where it was fitted, 4 to 7), and products and scores change over (a blend).
"""

EXPERT_HIDDEN = 4096
"""Hidden size at which `visit_ns` is stated; a unit only."""


def blended(compute_s: Array, memory_s: Array, blend: float) -> Array:
    """Return (C^q + B^q)^(1/q): near the greater of both, more where they are alike."""
    more, less = np.maximum(compute_s, memory_s), np.minimum(compute_s, memory_s)
    ratio = np.divide(less, more, out=np.zeros_like(more), where=more > 0)
    return np.asarray(more * (1.0 + ratio**blend) ** (1.0 / blend))


def product_seconds(
    curve: Product, peak: float, bandwidth: float, size: tuple[Array, Array, Array], moved: Array
) -> Array:
    """Return the time of products (m, k) x (k, n).

    Args:
        curve: the format's curve.
        peak: operations/s of the data sheet, at the clock.
        bandwidth: bytes/s of the data sheet.
        size: m, n, k.
        moved: bytes of weights, inputs and outputs.
    """
    m, n, k = size
    rows = np.maximum(np.maximum(m, TILE_ROWS), curve.fill_outputs / n)
    compute = 2.0 * rows * n * k / (peak * curve.compute)
    busy = blended(compute, moved / (bandwidth * curve.memory), curve.blend)
    inputs = curve.input_ps * 1e-12 * m * k
    return np.asarray(curve.floor_us * 1e-6 + busy + inputs + curve.depth_ns * 1e-9 * k / DEPTH)


def prefill_seconds(curve: Prefill, peak: float, bandwidth: float, prompts: Prompts) -> Array:
    """Return the time of attention of prompts.

    Args:
        curve: the format's curve.
        peak: operations/s.
        bandwidth: bytes/s.
        prompts: what is attended to.
    """
    pairs = pair_seconds(curve, peak, prompts.flops, prompts.scores)
    work = pairs + prompts.moved / (bandwidth * curve.memory)
    paced = blended(work, curve.length_ns * 1e-9 * prompts.length, curve.blend)
    return np.asarray(curve.floor_us * 1e-6 + paced)


def pair_seconds(curve: Prefill, peak: float, flops: Array, scores: Array) -> Array:
    """Return the time of query-key pairs, of operations and of scores: pairs of each head."""
    return blended(flops / (peak * curve.compute), curve.score_ps * 1e-12 * scores, SHARP)


def large_read_seconds(curve: Decode, peak: float, bandwidth: float, reads: Reads) -> Array:
    """Return the time of decode attention at the rate of large reads."""
    streamed = reads.moved / (bandwidth * curve.memory)
    if not isinstance(curve, LatentDecode):
        return np.asarray(streamed)
    return blended(reads.flops / (peak * curve.compute), streamed, curve.blend)


def overhead_seconds(curve: Decode, reads: Reads) -> Array:
    """Return what decode attention takes beside reading: floor, ramp and heads."""
    ramp = curve.ramp_us * 1e-6 * -np.expm1(-reads.moved / (curve.ramp_mb * 1e6))
    heads = curve.head_ns * 1e-9 * reads.heads + curve.query_ns * 1e-9 * reads.query_heads
    return np.asarray(curve.floor_us * 1e-6 + ramp + heads)


def alone_seconds(curve: Decode, reads: Reads) -> Array:
    """Return what reading takes at least: the time of one sequence, whose tokens follow in turn."""
    return np.asarray(curve.token_ns * 1e-9 * reads.length)


def decode_seconds(
    curve: Decode, peak: float, bandwidth: float, reads: Reads, *, repeated: bool = False
) -> Array:
    """Return the time of decode attention.

    Args:
        curve: the format's curve.
        peak: operations/s; only latent attention is bound by them.
        bandwidth: bytes/s.
        reads: what decoding sequences read.
        repeated: the same cache is read again and again, as kernels are measured, so that reads far
            smaller than `cached_mb` come from the L2 cache. In service other layers pass between.
    """
    missed = replace(reads, moved=_missed(curve, reads.moved)) if repeated else reads
    large = large_read_seconds(curve, peak, bandwidth, missed)
    return overhead_seconds(curve, reads) + np.maximum(large, alone_seconds(curve, reads))


def _missed(curve: Decode, moved: Array) -> Array:
    """Return the bytes that do not come from the L2 cache where the same are read again."""
    missed = 1.0 + (curve.cached_mb * 1e6 / np.maximum(moved, 1.0)) ** SHARP
    return np.asarray(moved / missed)


def experts_seconds(
    curve: ExpertProduct,
    peak: float,
    bandwidth: float,
    work: tuple[Array, Array],
    visits: Array,
    hidden: Array,
) -> Array:
    """Return the time of routed experts.

    Args:
        curve: the format's curve.
        peak: operations/s.
        bandwidth: bytes/s.
        work: operations of all visits; bytes of touched experts and of their inputs and outputs.
        visits: pairs of a token and an expert that this device computes.
        hidden: hidden size of the model.
    """
    flops, moved = work
    busy = blended(flops / (peak * curve.compute), moved / (bandwidth * curve.memory), curve.blend)
    permuted = curve.visit_ns * 1e-9 * visits * hidden / EXPERT_HIDDEN
    return np.asarray(curve.floor_us * 1e-6 + busy + permuted)


def collective_seconds(
    curve: Collective, bandwidth: float, devices: Array, size: Array, bus: Array
) -> Array:
    """Return the time of a collective.

    Args:
        curve: the operation's curve.
        bandwidth: bytes/s of the link, one direction.
        devices: devices of the group, 2 or more.
        size: bytes of the message, as a caller counts them.
        bus: bytes through the busiest device.
    """
    others = devices - 2
    ends = curve.latency_us + curve.hop_us * others + curve.ramp_us * np.sqrt(size / 1e6)
    crowd = 1.0 + curve.contention * others
    return np.asarray(ends * 1e-6 + bus / (bandwidth * curve.efficiency) * crowd)


def power_share(
    use: PowerUse, compute: Array, memory: Array, clock_power: Array
) -> tuple[Array, Array]:
    """Return the shares of dynamic power drawn for computing and for reading, `active` in each.

    Args:
        use: the device's numbers.
        compute: compute utilisation, of the peak at the clock.
        memory: bandwidth utilisation.
        clock_power: power of computing at the clock over that at the boost clock.
    """
    room = 1.0 - use.active
    by_compute = use.active + np.minimum(use.compute * compute, room) * clock_power
    return np.asarray(by_compute), np.asarray(use.active + np.minimum(use.memory * memory, room))
