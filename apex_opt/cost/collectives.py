"""Collectives: latency, bytes through the busiest link, and what NCCL or an engine's kernels add.

A ring all-reduce of B bytes over g devices moves 2 (g - 1) / g B bytes through each link, an
all-gather, a reduce-scatter and an all-to-all (g - 1) / g B (Thakur et al. 2005, "Optimization of
Collective Communication Operations in MPICH", section 4). A group that spans m nodes reduces inside
the node first; each device then exchanges its part with its peers over its own network port:
2 (m - 1) / m B / g_node bytes. An all-to-all sends (m - 1) / m of a device's bytes over its port.

Where devices cannot reach each other's memory, NCCL copies through host memory instead. This is so
for GeForce devices, in many virtual machines, where IOMMU or ACS stand in the way, and by default
between devices that hang on different host bridges (NCCL user guide, `NCCL_P2P_LEVEL`).
"""

from __future__ import annotations

import math

import numpy as np

from apex_opt.cost.curves import Array, collective_seconds
from apex_opt.cost.shape import Shape
from apex_opt.spec.device_link import Collective, Link, Operation

MOST_DEVICES = 8
"""Largest group for which engines run an all-reduce of their own; past it they call NCCL.

Source: vLLM vllm/distributed/device_communicators/custom_all_reduce.py, `_SUPPORTED_WORLD_SIZES`;
there too: over PCIe alone for two devices at most, and never without peer access.
"""

MOST_DEVICES_OVER_PCIE = 2


def sent_inside(shape: Shape) -> tuple[float, float]:
    """Return what one device sends to another of its node, bytes/s, and the latency, seconds."""
    wire = shape.pool.wire
    way = wire if wire.peer_access else wire.host
    return wire.bandwidth_gbytes_per_s * 1e9 * way.efficiency, way.latency_us * 1e-6


def network_bytes_per_s(shape: Shape) -> float:
    """Return what one device sends between nodes: the lesser of its port and the spec's network."""
    network = shape.network
    port = shape.pool.device.nic_gbytes_per_s
    rate = network.bandwidth_gbps / 8 * 1e9
    return min(rate, port * 1e9 if port is not None else rate) * network.efficiency


def passes(operation: Operation) -> int:
    """Return how often an operation passes through a ring."""
    return 2 if operation == "all_reduce" else 1


def _curves(wire: Link, operation: Operation, devices: int) -> list[Collective]:
    """Return how an operation may run inside a node; engines take what is faster at a size."""
    known = wire.collectives.get(operation, wire)
    most = MOST_DEVICES_OVER_PCIE if "pcie" in wire.kind.lower() else MOST_DEVICES
    return [wire, known] if operation == "all_reduce" and devices <= most else [known]


def _inside(wire: Link, operation: Operation, inside: int, size: Array, devices: int) -> Array:
    """Return seconds of the part of a collective that stays in a node.

    Args:
        wire: the link.
        operation: what is done.
        inside: devices of the group in each node, 2 or more.
        size: as `collective` takes it.
        devices: devices of the whole group.
    """
    rate, group = wire.bandwidth_gbytes_per_s * 1e9, np.array(float(inside))
    times, moved = passes(operation), (inside - 1) / inside * size
    if not wire.peer_access:
        return times * collective_seconds(wire.host, rate, group, size, moved)
    curves = _curves(wire, operation, devices)
    ways = [collective_seconds(c, rate, group, size, times * moved) for c in curves]
    return np.asarray(np.min(ways, axis=0))


def collective(shape: Shape, operation: Operation, devices: int, size: Array) -> Array:
    """Return seconds of a collective over consecutive devices of the pool; 0 for one device.

    Args:
        shape: the replica; its pool says how many devices stand in a node.
        operation: what is done.
        devices: devices of the group.
        size: bytes of the whole message: of the reduced, gathered or scattered tensor; for an
            all-to-all, what one device holds.
    """
    if devices == 1:
        return np.zeros_like(size)
    inside = min(devices, shape.pool.node_devices)
    nodes = -(-devices // inside)
    seconds = np.zeros_like(size)
    if inside > 1:
        seconds = _inside(shape.pool.wire, operation, inside, size, devices)
    if nodes > 1:
        part = size if operation == "all_to_all" else size / inside
        between = passes(operation) * (nodes - 1) / nodes * part / network_bytes_per_s(shape)
        seconds = seconds + between + 2 * (nodes - 1) * shape.network.latency_us * 1e-6
    return np.where(size > 0, seconds, 0.0)


def all_reduce(shape: Shape, size_bytes: Array) -> Array:
    """Return seconds of an all-reduce of `size_bytes` over the tensor group; 0 for one device.

    Measured alone, devices start it together; between other kernels they wait for the slowest. This
    is an overhead of the engine, `sync_us` for each doubling of the group.
    """
    sync_s = shape.release.overheads.sync_us * 1e-6 * math.log2(shape.tensor)
    seconds = collective(shape, "all_reduce", shape.tensor, size_bytes)
    return np.where(size_bytes > 0, seconds + sync_s, 0.0)


def all_gather(shape: Shape, size_bytes: Array) -> Array:
    """Return seconds of an all-gather whose result has `size_bytes`; 0 for one device."""
    return collective(shape, "all_gather", shape.tensor, size_bytes)


def point_to_point(shape: Shape, size_bytes: Array, *, same_node: bool) -> Array:
    """Return seconds of sending `size_bytes` from one device to another, no bytes in no time."""
    if same_node:
        rate, latency = sent_inside(shape)
    else:
        rate, latency = network_bytes_per_s(shape), shape.network.latency_us * 1e-6
    return np.where(size_bytes > 0, latency + size_bytes / rate, 0.0)


def near(shape: Shape, stage: int) -> bool:
    """Return whether a stage and the next one stand in one node.

    Stages of a pool stand one after the other, from a node on.
    """
    source, target = shape.at(stage).pool, shape.at(stage + 1).pool
    groups = source.node_devices // shape.tensor
    nth = sum(place.pool.name == source.name for place in shape.places[:stage])
    return source.name == target.name and bool(groups) and nth // groups == (nth + 1) // groups


def hop(source: Shape, target: Shape, size_bytes: Array, *, same_node: bool) -> Array:
    """Return seconds of sending activations from a stage to another.

    Each device of the group sends its share to its peer, which gathers them inside the node (vLLM's
    send/recv of tensor-parallel slices). Between pools activations cross the network, as fast as
    the slower port.
    """
    part = size_bytes / source.tensor
    if source.pool.name == target.pool.name:
        sent = point_to_point(source, part, same_node=same_node)
    else:
        ways = [point_to_point(one, part, same_node=False) for one in (source, target)]
        sent = np.maximum(*ways)
    return sent + all_gather(target, size_bytes)
