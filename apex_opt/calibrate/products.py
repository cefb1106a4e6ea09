"""Matrix products and routed experts: tables of sizes and times, one curve a format."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from apex_opt.calibrate.columns import Columns
from apex_opt.calibrate.fit import SHARE, Fit, Problem, Range, fit
from apex_opt.cost.curves import Array, experts_seconds, product_seconds
from apex_opt.cost.formats import format_precision
from apex_opt.cost.layers import INPUT_BYTES
from apex_opt.cost.operators import ACTIVATION_BYTES
from apex_opt.errors import CallError
from apex_opt.spec import catalog
from apex_opt.spec.device_efficiency import ExpertProduct, Product, ProductFormat
from apex_opt.spec.pools import Device

FORMATS: dict[str, tuple[ProductFormat, str]] = {
    "bfloat16": ("bf16", "bf16"),
    "fp8": ("fp8", "fp8"),
    "fp8_block": ("fp8-block", "fp8-block"),
    "nvfp4": ("fp4", "nvfp4"),
    "sq": ("int8", "int8-w8a8"),
    "int8_wo": ("weight-only-8", "int8-w8a8"),
    "int4_wo": ("weight-only-4", "gptq-int4"),
    "w4a16_mxfp4": ("weight-only-4", "mxfp4"),
}
"""Names of the tables: (how the product runs, whose bits its weights take)."""

PRODUCT_RANGES = {
    "compute": SHARE,
    "memory": SHARE,
    "floor_us": Range(1.5, (3.0, 8.0), 40.0),
    "blend": Range(1.0, (4.0, 2.5), 12.0),
    "fill_outputs": Range(0.0, (2e5, 6e5), 1e7),
    "depth_ns": Range(0.0, (30.0, 60.0), 400.0),
}
NARROW_RANGES = {**PRODUCT_RANGES, "input_ps": Range(0.0, (0.5, 2.0), 30.0)}
"""Of products that quantise their inputs: a pass over these, whose time goes by their size."""

EXPERT_RANGES = {
    "compute": SHARE,
    "memory": SHARE,
    "floor_us": Range(1.0, (20.0, 40.0), 200.0),
    "blend": Range(1.0, (2.5, 1.5), 12.0),
    "visit_ns": Range(0.0, (8.0, 20.0), 80.0),
}


def _formats(rows: Columns, column: str) -> Iterator[tuple[str, Columns]]:
    """Yield the known formats of a table, each with its rows."""
    names = rows.texts(column)
    for name in sorted(set(names) & set(FORMATS)):
        yield name, rows.pick([n == name for n in names])


def products(rows: Columns, device: Device) -> dict[ProductFormat, Fit[Product]]:
    """Return the curve of each format of a table of matrix products.

    Raises:
        CallError: a column is missing, or a row holds no number.
    """
    found: dict[ProductFormat, Fit[Product]] = {}
    for name, part in _formats(rows, "gemm_dtype"):
        fitted = fit(problem(part, device, name))
        if fitted is not None:
            found[FORMATS[name][0]] = fitted
    return _without_quantising(found)


def problem(rows: Columns, device: Device, name: str) -> Problem[Product]:
    """Return products of a format and the times that their curve should meet."""
    kind, stored = FORMATS[name]
    m, n, k = (rows.numbers(column) for column in ("m", "n", "k"))
    peak, bandwidth = rates(device, kind)
    bits = catalog.weight_format(stored).bits
    moved = n * k * bits / 8 + m * k * INPUT_BYTES.get(kind, ACTIVATION_BYTES)
    moved = moved + ACTIVATION_BYTES * m * n
    return Problem(
        Product,
        NARROW_RANGES if kind in INPUT_BYTES else PRODUCT_RANGES,
        lambda curve: product_seconds(curve, peak, bandwidth, (m, n, k), moved),
        rows.microseconds(),
        np.maximum(2.0 * m * n * k / peak, moved / bandwidth),
        n * 1e7 + k,
    )


def _without_quantising(
    found: dict[ProductFormat, Fit[Product]],
) -> dict[ProductFormat, Fit[Product]]:
    """Return the curves with one floor for all 8- and 4-bit products: the least of theirs.

    What the others take more is a kernel that quantises the input, timed with the product; engines
    fuse it into the norm or activation before (vLLM, `fuse_norm_quant`, `fuse_act_quant`). Errors
    stay those of the measured pair.
    """
    narrow = [name for name in found if name in INPUT_BYTES]
    if not narrow:
        return found
    floor = min(found[name].curve.floor_us for name in narrow)
    for name in narrow:
        one = found[name]
        curve = one.curve.model_copy(update={"floor_us": floor})
        found[name] = replace(one, curve=curve)
    return found


def experts(rows: Columns, device: Device) -> dict[ProductFormat, Fit[ExpertProduct]]:
    """Return the curve of each format of a table of mixtures of experts.

    Rows of even routing, and of skewed routing where a device holds all experts; how skew loads
    the fullest of several devices is no property of the device.

    Raises:
        CallError: a column is missing, or a row holds no number.
    """
    ranks, kinds = rows.numbers("moe_ep_size"), rows.texts("distribution")
    kept = [kind == "balanced" or rank == 1 for kind, rank in zip(kinds, ranks, strict=True)]
    found: dict[ProductFormat, Fit[ExpertProduct]] = {}
    for name, part in _formats(rows.pick(kept), "moe_dtype"):
        fitted = fit(_experts(part, device, name))
        if fitted is not None:
            found[FORMATS[name][0]] = fitted
    return found


def _touched(rows: Columns, visits: Array, local: Array) -> Array:
    """Return how many experts are read: even rows deal visits out, skewed ones do by chance."""
    tokens, top, total = (rows.numbers(c) for c in ("num_tokens", "topk", "num_experts"))
    chance = local * -np.expm1(tokens * np.log1p(-np.minimum(top / total, 1 - 1e-9)))
    even = np.array([kind == "balanced" for kind in rows.texts("distribution")])
    return np.where(even, np.clip(visits, 1.0, local), chance)


def _experts(rows: Columns, device: Device, name: str) -> Problem[ExpertProduct]:
    kind, stored = FORMATS[name]
    columns = ("num_tokens", "topk", "num_experts", "hidden_size", "inter_size")
    tokens, top, total, hidden, inner = (rows.numbers(column) for column in columns)
    ranks, split = rows.numbers("moe_ep_size"), rows.numbers("moe_tp_size")
    peak, bandwidth = rates(device, kind)
    visits, weights = tokens * top / ranks, 3 * hidden * inner / split
    moved = _touched(rows, visits, total / ranks) * weights
    moved = moved * catalog.weight_format(stored).bits / 8
    moved = moved + 2 * ACTIVATION_BYTES * visits * hidden
    flops = 2.0 * visits * weights
    return Problem(
        ExpertProduct,
        EXPERT_RANGES,
        lambda curve: experts_seconds(curve, peak, bandwidth, (flops, moved), visits, hidden),
        rows.microseconds(),
        np.maximum(flops / peak, moved / bandwidth),
        hidden * 1e9 + inner * 1e4 + ranks * 100 + split,
    )


def rates(device: Device, kind: ProductFormat) -> tuple[float, float]:
    """Return peak and bandwidth of the data sheet, operations/s and bytes/s.

    Raises:
        CallError: the data sheet has no peak of the format's precision.
    """
    precision = format_precision(device, kind)
    if precision not in device.peak_tflops:
        raise CallError(f"{device.name} has no {precision} peak, but kernels of it were measured")
    return device.peak_tflops[precision] * 1e12, device.bandwidth_gbytes_per_s * 1e9
