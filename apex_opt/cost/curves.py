"""Time of a kernel by its size: the few forms to which measured kernels are fitted.

Each function takes one curve of `apex_opt.spec.device_efficiency` or `apex_opt.spec.device_link`,
the rates of the data sheet, and sizes as arrays; it returns seconds. `apexopt calibrate` fits the
same functions that planning reads. Since shares of the data sheet are at most 1 and every other
term adds time, no kernel is faster than its roofline.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from apex_opt.spec.device_efficiency import (
    Decode,
    ExpertProduct,
    LatentDecode,
    PowerUse,
    Prefill,
    Product,
    ShortDecode,
)
from apex_opt.spec.device_link import Collective

Array = NDArray[np.float64]

TILE_ROWS = 64
"""Rows that a matrix unit computes at least: the smallest tile of a warp group's instructions (PTX
wgmma: m64); with it small batches of narrow products are met.
"""

DEPTH = 128
"""Inner dimension that one turn of a product's main loop takes; a unit only."""

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
    return np.asarray(curve.floor_us * 1e-6 + busy + curve.depth_ns * 1e-9 * k / DEPTH)


def prefill_seconds(
    curve: Prefill, peak: float, bandwidth: float, flops: Array, moved: Array, length: Array
) -> Array:
    """Return the time of attention of prompts.

    Args:
        curve: the format's curve.
        peak: operations/s.
        bandwidth: bytes/s.
        flops: operations over all query-key pairs.
        moved: bytes of queries, keys, values and outputs.
        length: tokens of the longest prompt: its last queries see most and end last.
    """
    busy = flops / (peak * curve.compute) + moved / (bandwidth * curve.memory)
    return np.asarray(curve.floor_us * 1e-6 + busy + curve.length_ns * 1e-9 * length)


def ramp_seconds(curve: Decode, moved: Array) -> Array:
    """Return what decode attention takes beyond the rate of large reads: it grows, then stays."""
    return np.asarray(curve.ramp_us * 1e-6 * -np.expm1(-moved / (curve.ramp_mb * 1e6)))


def decode_seconds(curve: Decode, bandwidth: float, moved: Array) -> Array:
    """Return the time of decode attention that reads `moved` bytes of cache."""
    streamed = moved / (bandwidth * curve.memory)
    return np.asarray(curve.floor_us * 1e-6 + streamed + ramp_seconds(curve, moved))


def latent_read_seconds(
    curve: LatentDecode, peak: float, bandwidth: float, flops: Array, moved: Array
) -> Array:
    """Return what decode attention to `moved` bytes of latent vectors takes beyond its floor.

    Args:
        curve: the format's curve.
        peak: operations/s.
        bandwidth: bytes/s.
        flops: operations of all heads on all vectors.
        moved: bytes of the vectors.
    """
    return blended(flops / (peak * curve.compute), moved / (bandwidth * curve.memory), curve.blend)


def head_seconds(curve: ShortDecode, heads: Array) -> Array:
    """Return what decode attention takes beside reading, by the heads of all sequences."""
    return np.asarray(curve.floor_us * 1e-6 + curve.head_ns * 1e-9 * heads)


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
