"""Collectives in the alpha-beta model: latency + bytes on the busiest link / bandwidth.

A ring all-reduce of B bytes over g devices moves 2 (g - 1) / g B bytes through each link, an
all-gather (g - 1) / g B (Thakur et al. 2005, "Optimization of Collective Communication Operations
in MPICH", section 4). A group that spans m nodes reduces inside the node first; each device then
exchanges its part with its peers over its own network port: 2 (m - 1) / m B / g_node bytes.
"""

from __future__ import annotations

import numpy as np

from apex_opt.cost.rates import Array
from apex_opt.cost.shape import Shape
from apex_opt.spec.pools import Link


def link(shape: Shape) -> Link:
    """Return the link inside a node of the pool."""
    return shape.pool.link or shape.pool.device.link


def _network_bytes_per_s(shape: Shape) -> float:
    """Return what one device sends between nodes: the lesser of its port and the spec's network."""
    network = shape.network
    port = shape.pool.device.nic_gbytes_per_s
    rate = network.bandwidth_gbps / 8 * 1e9
    return min(rate, port * 1e9 if port is not None else rate) * network.efficiency


def _group(shape: Shape) -> tuple[int, int]:
    """Return devices per node and nodes of a tensor group."""
    inside = min(shape.tensor, shape.pool.node_devices)
    return inside, -(-shape.tensor // inside)


def _latency_s(shape: Shape, inside: int, nodes: int) -> float:
    wire = link(shape)
    local = (wire.latency_us + wire.hop_us * max(inside - 2, 0)) * 1e-6 if inside > 1 else 0.0
    return local + 2 * (nodes - 1) * shape.network.latency_us * 1e-6


def _collective(shape: Shape, size_bytes: Array, rounds: int) -> Array:
    """Return seconds of `rounds` ring passes: 2 for an all-reduce, 1 for an all-gather."""
    if shape.tensor == 1:
        return np.zeros_like(size_bytes)
    inside, nodes = _group(shape)
    wire = link(shape)
    crowd = 1 + wire.contention * max(inside - 2, 0)
    rate = wire.bandwidth_gbytes_per_s * 1e9 * wire.efficiency / crowd
    seconds = rounds * (inside - 1) / inside * size_bytes / rate
    if nodes > 1:
        between = rounds * (nodes - 1) / nodes * size_bytes / inside
        seconds = seconds + between / _network_bytes_per_s(shape)
    return np.where(size_bytes > 0, seconds + _latency_s(shape, inside, nodes), 0.0)


def all_reduce(shape: Shape, size_bytes: Array) -> Array:
    """Return seconds of an all-reduce of `size_bytes` over the tensor group; 0 for one device."""
    return _collective(shape, size_bytes, 2)


def all_gather(shape: Shape, size_bytes: Array) -> Array:
    """Return seconds of an all-gather whose result has `size_bytes`; 0 for one device."""
    return _collective(shape, size_bytes, 1)


def stage_hop(shape: Shape, stage: int, size_bytes: Array) -> Array:
    """Return seconds of sending activations from `stage` to the next one.

    Each device of the group sends its share to its peer, which gathers them inside the node (vLLM's
    send/recv of tensor-parallel slices). Stages stand one after the other, from a node on.
    """
    groups = shape.pool.node_devices // shape.tensor
    wire = link(shape)
    if groups and stage // groups == (stage + 1) // groups:
        rate, latency = wire.bandwidth_gbytes_per_s * 1e9 * wire.efficiency, wire.latency_us * 1e-6
    else:
        rate, latency = _network_bytes_per_s(shape), shape.network.latency_us * 1e-6
    sent = np.where(size_bytes > 0, latency + size_bytes / shape.tensor / rate, 0.0)
    return sent + all_gather(shape, size_bytes)
