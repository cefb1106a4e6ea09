"""Collectives: tables of devices, bytes and times, one curve an operation."""

from __future__ import annotations

import numpy as np

from apex_opt.calibrate.columns import Columns
from apex_opt.calibrate.fit import Fit, Problem, Range, fit
from apex_opt.cost.curves import collective_seconds
from apex_opt.spec.device_link import Collective, Operation
from apex_opt.spec.pools import Device

RANGES = {
    "latency_us": Range(0.5, (5.0, 12.0), 60.0),
    "hop_us": Range(0.0, (0.5, 2.0), 10.0),
    "efficiency": Range(0.05, (0.7, 0.8), 1.0),
    "contention": Range(0.0, (0.01, 0.2), 5.0),
    "ramp_us": Range(0.0, (3.0, 8.0), 200.0),
}
OWN = ("custom_allreduce", "vllm_graph")
"""The all-reduce that engines run in CUDA graphs: its names in the columns `op` and `variant`."""

NCCL: dict[str, Operation] = {
    "nccl_all_reduce": "all_reduce",
    "nccl_all_gather": "all_gather",
    "nccl_reduce_scatter": "reduce_scatter",
    "nccl_alltoall": "all_to_all",
}


def own_all_reduce(rows: Columns, device: Device) -> Fit[Collective] | None:
    """Return the curve of the engine's all-reduce; None where it was not measured.

    Raises:
        CallError: a column is missing, or a row holds no number.
    """
    mine = rows.where("op", OWN[0]).where("variant", OWN[1])
    return fit(problem(mine, device, 2))


def nccl(rows: Columns, device: Device) -> dict[Operation, Fit[Collective]]:
    """Return the curve of each collective of NCCL that was measured.

    Raises:
        CallError: a column is missing, or a row holds no number.
    """
    found: dict[Operation, Fit[Collective]] = {}
    for name, operation in NCCL.items():
        rounds = 2 if operation == "all_reduce" else 1
        fitted = fit(problem(rows.where("op", name), device, rounds))
        if fitted is not None:
            found[operation] = fitted
    return found


def problem(rows: Columns, device: Device, rounds: int) -> Problem[Collective]:
    """Return collectives of `rounds` ring passes and the times that their curve should meet."""
    devices, size = rows.numbers("num_gpus"), rows.numbers("bytes")
    bandwidth = device.link.bandwidth_gbytes_per_s * 1e9
    bus = rounds * (devices - 1) / np.maximum(devices, 1) * size
    return Problem(
        Collective,
        RANGES,
        lambda curve: collective_seconds(curve, bandwidth, devices, size, bus),
        rows.microseconds(),
        bus / bandwidth,
        size,
    )
