"""Attention: tables of batches, lengths and heads, one curve a format of the cache."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from apex_opt.calibrate.columns import Columns
from apex_opt.calibrate.fit import SHARE, Fit, Problem, Range, fit
from apex_opt.cost.curves import Array, Prompts, Reads, decode_seconds, prefill_seconds
from apex_opt.cost.operators import ACTIVATION_BYTES
from apex_opt.cost.rates import half_precision
from apex_opt.spec.device_efficiency import AttentionFormat, Decode, Prefill
from apex_opt.spec.pools import Device

FORMATS: dict[str, tuple[AttentionFormat, float]] = {"bfloat16": ("bf16", 2.0), "fp8": ("fp8", 1.0)}
"""Names of the tables: (how attention runs, bytes of a cached number)."""

PREFILL_RANGES = {
    "compute": Range(0.05, (0.55, 0.4), 1.0),
    "memory": Range(0.05, (0.5, 0.3), 1.0),
    "floor_us": Range(0.5, (10.0, 15.0), 60.0),
    "length_ns": Range(0.0, (5.0, 10.0), 100.0),
}
SCORE_RANGES = {**PREFILL_RANGES, "score_ps": Range(0.0, (0.1, 0.6), 20.0)}
"""Of tables with heads of several widths: at one width scores cannot be told from products."""

DECODE_RANGES = {
    "memory": SHARE,
    "floor_us": Range(0.5, (8.0, 12.0), 60.0),
    "ramp_us": Range(0.0, (10.0, 20.0), 100.0),
    "ramp_mb": Range(5.0, (20.0, 40.0), 400.0),
    "head_ns": Range(0.0, (2.0, 10.0), 200.0),
    "token_ns": Range(0.0, (0.5, 3.0), 60.0),
    "cached_mb": Range(1.0, (20.0, 50.0), 200.0),
}


def by_format(rows: Columns, wanted: list[str]) -> Iterator[tuple[str, Columns]]:
    """Yield the formats in which all of `wanted` columns agree, each with its rows."""
    for name in FORMATS:
        columns = [rows.texts(column) for column in wanted]
        yield name, rows.pick([set(texts) == {name} for texts in zip(*columns, strict=True)])


def prefill(rows: Columns, device: Device) -> dict[AttentionFormat, Fit[Prefill]]:
    """Return the curve of each format of a table of attention of prompts.

    Raises:
        CallError: a column is missing, or a row holds no number.
    """
    found: dict[AttentionFormat, Fit[Prefill]] = {}
    for name, part in by_format(rows, ["attn_dtype", "kv_cache_dtype"]):
        kind, _ = FORMATS[name]
        if kind == "fp8" and kind not in device.peak_tflops:
            continue
        fitted = fit(prefill_problem(part, device, name))
        if fitted is not None:
            found[kind] = fitted
    return found


def prefill_problem(rows: Columns, device: Device, name: str) -> Problem[Prefill]:
    """Return prompts over a cache of a format and the times that their curve should meet."""
    kind, width = FORMATS[name]
    batch, length = rows.numbers("batch_size"), rows.numbers("isl")
    heads, kv_heads, dim = head_shape(rows)
    precision = "fp8" if kind == "fp8" else half_precision(device)
    peak = device.peak_tflops[precision] * 1e12
    bandwidth = device.bandwidth_gbytes_per_s * 1e9
    flops = 4.0 * batch * heads * dim * length * (length + 1) / 2
    moved = batch * length * dim * 2 * (heads * ACTIVATION_BYTES + kv_heads * width)
    prompts = Prompts(flops, moved, length, flops / (4.0 * dim))
    return Problem(
        Prefill,
        prompt_ranges(dim),
        lambda curve: prefill_seconds(curve, peak, bandwidth, prompts),
        rows.microseconds(),
        np.maximum(flops / peak, moved / bandwidth),
        batch * 1e6 + heads * 1e3 + kv_heads,
    )


def decode(rows: Columns, device: Device) -> dict[AttentionFormat, Fit[Decode]]:
    """Return the curve of each format of a table of decode attention.

    Raises:
        CallError: a column is missing, or a row holds no number.
    """
    found: dict[AttentionFormat, Fit[Decode]] = {}
    for name, part in by_format(rows, ["kv_cache_dtype"]):
        fitted = fit(decode_problem(part, device, name))
        if fitted is not None:
            found[FORMATS[name][0]] = fitted
    return found


def decode_problem(rows: Columns, device: Device, name: str) -> Problem[Decode]:
    """Return reads of a cache of a format and the times that their curve should meet."""
    batch, length = rows.numbers("batch_size"), rows.numbers("kv_len")
    heads, kv_heads, dim = head_shape(rows)
    bandwidth = device.bandwidth_gbytes_per_s * 1e9
    moved = 2.0 * batch * length * kv_heads * dim * FORMATS[name][1]
    reads = Reads(moved, length, batch * kv_heads, batch * heads, np.zeros_like(moved))
    return Problem(
        Decode,
        DECODE_RANGES,
        lambda curve: decode_seconds(curve, 1.0, bandwidth, reads, repeated=True),
        rows.microseconds(),
        moved / bandwidth,
        batch * 1e6 + heads * 1e3 + kv_heads,
    )


def prompt_ranges(dim: Array) -> dict[str, Range]:
    """Return the numbers of a curve that prompts with heads of these widths tell."""
    return SCORE_RANGES if len(set(dim.tolist())) > 1 else PREFILL_RANGES


def head_shape(rows: Columns) -> tuple[Array, Array, Array]:
    """Return query heads, key-value heads and their width.

    Raises:
        CallError: a column is missing, or a row holds no number.
    """
    columns = ("num_heads", "num_key_value_heads", "head_dim")
    heads, kv_heads, dim = (rows.numbers(column) for column in columns)
    return heads, kv_heads, dim
