"""Latent, windowed and linear attention: tables of batches, lengths and heads, a curve a format."""

from __future__ import annotations

import numpy as np

from apex_opt.calibrate.attention import (
    DECODE_RANGES,
    FORMATS,
    PREFILL_RANGES,
    by_format,
    head_shape,
    prompt_ranges,
)
from apex_opt.calibrate.columns import Columns
from apex_opt.calibrate.fit import SHARE, Fit, Problem, Range, fit
from apex_opt.cost.curves import Array, Prompts, Reads, decode_seconds, prefill_seconds
from apex_opt.cost.operators import ACTIVATION_BYTES, SPARSE_HEADS
from apex_opt.cost.rates import half_precision
from apex_opt.spec.device_efficiency import AttentionFormat, Decode, LatentDecode, Prefill
from apex_opt.spec.pools import Device

WINDOW_RANGES = {**DECODE_RANGES, "query_ns": Range(0.0, (0.5, 20.0), 200.0)}
STATE_RANGES = {name: one for name, one in DECODE_RANGES.items() if name != "token_ns"}
LATENT_RANGES = {**DECODE_RANGES, "compute": SHARE, "blend": Range(1.0, (4.0, 8.0), 12.0)}
LINEAR_RANGES = {**PREFILL_RANGES, "blend": Range(1.0, (2.0, 6.0), 12.0)}
STATE_BYTES = 4
"""Bytes of a number of a recurrent state: kernels keep it in 32 bits."""


def latent_prefill(rows: Columns, device: Device) -> dict[AttentionFormat, Fit[Prefill]]:
    """Return the curve of latent attention of prompts, expanded to keys and values of all heads.

    Only rows over a 16-bit cache: engines compute in 16 bits over any.

    Raises:
        CallError: a column is missing, or a row holds no number.
    """
    rows = rows.where("kv_cache_dtype", "bfloat16")
    batch, length, heads = (rows.numbers(c) for c in ("batch_size", "isl", "num_heads"))
    nope, rope, value = (rows.numbers(c) for c in ("qk_nope_dim", "qk_rope_dim", "v_head_dim"))
    width = nope + rope + value
    flops = 2.0 * batch * heads * width * _pairs(length, length)
    latent = rows.numbers("kv_lora_rank") + rope
    moved = ACTIVATION_BYTES * batch * length * (2 * heads * width + latent)
    work = Prompts(flops, moved, length, flops / (2.0 * width))
    return _prompts(rows, device, work, batch * 1e3 + heads, PREFILL_RANGES)


def sparse_prefill(rows: Columns, device: Device) -> dict[AttentionFormat, Fit[Prefill]]:
    """Return the curve of sparse latent attention of prompts, in its absorbed form.

    Every query computes as many tokens as it may choose, in 64 heads at least, so that bytes and
    operations cannot be told apart: `memory` is the prior.

    Raises:
        CallError: a column is missing, or a row holds no number.
    """
    batch, length, heads = (rows.numbers(c) for c in ("batch_size", "isl", "num_heads"))
    rank, rope = rows.numbers("kv_lora_rank"), rows.numbers("qk_rope_dim")
    tokens, width = batch * length, 2 * rank + rope
    flops = 2.0 * tokens * rows.numbers("index_topk") * np.maximum(heads, SPARSE_HEADS) * width
    moved = ACTIVATION_BYTES * tokens * heads * width
    work = Prompts(flops, moved, length, np.zeros_like(moved))
    ranges = {name: one for name, one in PREFILL_RANGES.items() if name != "memory"}
    return _prompts(rows, device, work, batch * 1e6 + length, ranges)


def latent_decode(rows: Columns, device: Device) -> dict[AttentionFormat, Fit[LatentDecode]]:
    """Return the curve of each format of latent attention of decoding sequences.

    Raises:
        CallError: a column is missing, or a row holds no number.
    """
    found: dict[AttentionFormat, Fit[LatentDecode]] = {}
    for name, part in by_format(rows, ["kv_cache_dtype"]):
        if FORMATS[name][0] == "fp8" and "fp8" not in device.peak_tflops:
            continue
        fitted = fit(_latent_decode(part, device, name))
        if fitted is not None:
            found[FORMATS[name][0]] = fitted
    return found


def _latent_decode(rows: Columns, device: Device, name: str) -> Problem[LatentDecode]:
    kind, width = FORMATS[name]
    batch, length, heads = (rows.numbers(c) for c in ("batch_size", "kv_len", "num_heads"))
    rank, rope = rows.numbers("kv_lora_rank"), rows.numbers("qk_rope_dim")
    precision = "fp8" if kind == "fp8" else half_precision(device)
    peak = device.peak_tflops[precision] * 1e12
    bandwidth = device.bandwidth_gbytes_per_s * 1e9
    flops = 2.0 * batch * length * heads * (2 * rank + rope)
    moved = batch * length * (rank + rope) * width
    reads = Reads(moved, length, batch * heads, batch * heads, flops)
    return Problem(
        LatentDecode,
        LATENT_RANGES,
        lambda curve: decode_seconds(curve, peak, bandwidth, reads, repeated=True),
        rows.microseconds(),
        np.maximum(flops / peak, moved / bandwidth),
        batch * 1e3 + heads,
    )


def window_prefill(rows: Columns, device: Device) -> dict[AttentionFormat, Fit[Prefill]]:
    """Return the curve of prompts that attend to a window, in 16 bits.

    Raises:
        CallError: a column is missing, or a row holds no number.
    """
    rows = rows.where("attn_dtype", "bfloat16").where("kv_cache_dtype", "bfloat16")
    batch, length, window = (rows.numbers(c) for c in ("batch_size", "isl", "window_size"))
    heads, kv_heads, dim = head_shape(rows)
    flops = 4.0 * batch * heads * dim * _pairs(length, window)
    moved = ACTIVATION_BYTES * batch * length * dim * 2 * (heads + kv_heads)
    work = Prompts(flops, moved, length, flops / (4.0 * dim))
    shapes = batch * 1e6 + heads * 1e3 + kv_heads
    return _prompts(rows, device, work, shapes, prompt_ranges(dim))


def window_decode(rows: Columns, device: Device) -> dict[AttentionFormat, Fit[Decode]]:
    """Return the curve of each format of decoding sequences that attend to a window.

    Rows whose window is not full are left out: another kernel runs there.

    Raises:
        CallError: a column is missing, or a row holds no number.
    """
    length, window = rows.numbers("kv_len"), rows.numbers("window_size")
    found: dict[AttentionFormat, Fit[Decode]] = {}
    for name, part in by_format(rows.pick((length > window).tolist()), ["kv_cache_dtype"]):
        kind, width = FORMATS[name]
        batch, (heads, kv_heads, dim) = part.numbers("batch_size"), head_shape(part)
        seen = part.numbers("window_size")
        moved = 2.0 * batch * seen * kv_heads * dim * width
        reads = Reads(moved, seen, batch * kv_heads, batch * heads, np.zeros_like(moved))
        fitted = fit(_short(part, device, reads, WINDOW_RANGES))
        if fitted is not None:
            found[kind] = fitted
    return found


def linear_prefill(rows: Columns, device: Device) -> dict[AttentionFormat, Fit[Prefill]]:
    """Return the curve of prompts that pass a recurrent state: convolution and delta rule.

    Raises:
        CallError: a column is missing, or a row holds no number.
    """
    tokens = rows.numbers("batch_size") * rows.numbers("isl")
    keys, values, size, _ = _states(rows)
    moved = ACTIVATION_BYTES * tokens * (2 * keys + 3 * values)
    shapes = rows.numbers("batch_size") * 1e3 + rows.numbers("num_v_heads")
    work = Prompts(6.0 * tokens * size, moved, rows.numbers("isl"), np.zeros_like(moved))
    return _prompts(rows, device, work, shapes, LINEAR_RANGES)


def linear_decode(rows: Columns, device: Device) -> dict[AttentionFormat, Fit[Decode]]:
    """Return the curve of decoding sequences that pass a recurrent state.

    Raises:
        CallError: a column is missing, or a row holds no number.
    """
    batch, (_, _, size, conv) = rows.numbers("batch_size"), _states(rows)
    moved = 2.0 * batch * (size * STATE_BYTES + conv * ACTIVATION_BYTES)
    heads, none = batch * rows.numbers("num_v_heads"), np.zeros_like(moved)
    fitted = fit(_short(rows, device, Reads(moved, none, heads, heads, none), STATE_RANGES))
    return {} if fitted is None else {"bf16": fitted}


def _prompts(
    rows: Columns, device: Device, work: Prompts, shapes: Array, ranges: dict[str, Range]
) -> dict[AttentionFormat, Fit[Prefill]]:
    """Return the curve of prompts in 16 bits."""
    peak = device.peak_tflops[half_precision(device)] * 1e12
    bandwidth = device.bandwidth_gbytes_per_s * 1e9
    fitted = fit(
        Problem(
            Prefill,
            ranges,
            lambda curve: prefill_seconds(curve, peak, bandwidth, work),
            rows.microseconds(),
            np.maximum(work.flops / peak, work.moved / bandwidth),
            shapes,
        )
    )
    return {} if fitted is None else {"bf16": fitted}


def _short(
    rows: Columns, device: Device, reads: Reads, ranges: dict[str, Range]
) -> Problem[Decode]:
    """Return reads of windows or states and the times that their curve should meet."""
    bandwidth = device.bandwidth_gbytes_per_s * 1e9
    return Problem(
        Decode,
        ranges,
        lambda curve: decode_seconds(curve, 1.0, bandwidth, reads, repeated=True),
        rows.microseconds(),
        reads.moved / bandwidth,
        rows.numbers("batch_size") * 1e6 + reads.heads,
    )


def _pairs(length: Array, window: Array) -> Array:
    """Return the query-key pairs of a prompt, each query seeing at most a window."""
    seen = np.minimum(length, window)
    return np.asarray(seen * (seen + 1) / 2 + (length - seen) * seen)


def _states(rows: Columns) -> tuple[Array, Array, Array, Array]:
    """Return the width of all keys and of all values, numbers of a state, of a convolution."""
    columns = ("num_k_heads", "num_v_heads", "head_k_dim", "head_v_dim", "d_conv")
    key_heads, value_heads, key, value, taps = (rows.numbers(column) for column in columns)
    keys, values = key_heads * key, value_heads * value
    return keys, values, value_heads * key * value, (2 * keys + values) * (taps - 1)
