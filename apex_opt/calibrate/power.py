"""Power: measured watts of kernels against how hard they work compute and memory.

The power of a kernel is sampled over a run of repeats; that of a short kernel holds what ran before
it, so only kernels of `SHORTEST` and more are used. Zero watts mean that nothing was sampled.
"""

from __future__ import annotations

import math
import re
from dataclasses import replace

import numpy as np

from apex_opt.calibrate import products
from apex_opt.calibrate.columns import Columns
from apex_opt.calibrate.fit import Fit, Problem, Range, fit
from apex_opt.cost.curves import Array, power_share
from apex_opt.cost.layers import INPUT_BYTES
from apex_opt.cost.operators import ACTIVATION_BYTES
from apex_opt.cost.rates import IDLE_SHARE, half_precision
from apex_opt.errors import CallError
from apex_opt.spec import catalog
from apex_opt.spec.device_efficiency import PowerUse
from apex_opt.spec.pools import Device

SHORTEST = 30e-6
HEAD_DIM = 128
"""Of all attention rows: the table has no column for it."""

UNKNOWN = (math.inf, math.inf)
"""Utilisation of a row that is neither a product nor attention."""

RANGES = {
    "compute": Range(0.2, (1.4, 2.0), 4.0),
    "memory": Range(0.1, (0.7, 0.5), 2.0),
    "active": Range(0.0, (0.1, 0.3), 0.6),
}


def power(rows: Columns, device: Device) -> Fit[PowerUse] | None:
    """Return the power curve of a device, its error in percent of the watts; None: too few rows.

    Raises:
        CallError: a column is missing, a row holds no number, or the device has no power limit.
    """
    if device.tdp_w is None:
        raise CallError(f"{device.name} has no `tdp_w`, against which power is fitted")
    limit, tdp = rows.numbers("power_limit"), device.tdp_w
    watts, seconds = rows.numbers("power_w"), rows.microseconds()
    work = np.array([_utilisation(rows, device, i, seconds[i]) for i in range(len(rows))])
    work = work.reshape(-1, 2)
    usable = (watts > 0) & (limit > 0) & (seconds >= SHORTEST) & (work <= 1).all(axis=1)
    idle = device.idle_w if device.idle_w is not None else IDLE_SHARE * tdp
    compute, memory = work[usable].T
    full = np.ones(int(usable.sum()))

    def predict(curve: PowerUse) -> Array:
        shares = power_share(curve, compute, memory, full)
        return idle + (limit[usable] - idle) * np.maximum(*shares)

    shapes = np.array(rows.texts("shape"))[usable]
    problem = Problem(PowerUse, RANGES, predict, watts[usable], np.zeros_like(full), shapes)
    found = fit(problem)
    return found and replace(found, left_out=len(rows) - found.rows)


def _utilisation(rows: Columns, device: Device, i: int, seconds: float) -> tuple[float, float]:
    """Return the compute and the memory utilisation of a row."""
    shape = {key: int(n) for key, n in re.findall(r"([a-z]+)(\d+)", rows.texts("shape")[i])}
    kind, dtype = rows.texts("op")[i], rows.texts("dtype")[i]
    try:
        if kind == "gemm":
            flops, moved, peak = _gemm(device, dtype, shape)
        elif kind in {"prefill_attn", "decode_attn"}:
            flops, moved, peak = _attention(device, dtype, shape)
        else:
            return UNKNOWN
    except KeyError:
        return UNKNOWN
    bandwidth = device.bandwidth_gbytes_per_s * 1e9
    return flops / (peak * seconds), moved / (bandwidth * seconds)


def _gemm(device: Device, dtype: str, shape: dict[str, int]) -> tuple[float, float, float]:
    kind, stored = products.FORMATS[dtype]
    m, n, k = shape["m"], shape["n"], shape["k"]
    moved = n * k * catalog.weight_format(stored).bits / 8
    moved += m * k * INPUT_BYTES.get(kind, ACTIVATION_BYTES) + ACTIVATION_BYTES * m * n
    return 2.0 * m * n * k, moved, products.rates(device, kind)[0]


def _attention(device: Device, dtype: str, shape: dict[str, int]) -> tuple[float, float, float]:
    batch, new, past = shape["b"], shape["isl"], shape["past"]
    heads, kv_heads = shape["h"], shape["kv"]
    computed, _, cached = dtype.partition("/")
    width = 1 if cached == "fp8" else 2
    pairs = new * (new + 1) / 2 + new * past
    moved = new * 2 * heads * ACTIVATION_BYTES + (new + past) * 2 * kv_heads * width
    fp8 = computed == "fp8" and "fp8" in device.peak_tflops
    peak = device.peak_tflops["fp8" if fp8 else half_precision(device)] * 1e12
    return 4.0 * batch * heads * HEAD_DIM * pairs, float(batch * HEAD_DIM * moved), peak
