"""Tables of kernels that follow a known curve exactly, for tests."""

from __future__ import annotations

import csv
import itertools
from pathlib import Path

import numpy as np

from apex_opt.cost.curves import (
    collective_seconds,
    decode_seconds,
    head_seconds,
    latent_read_seconds,
    prefill_seconds,
    product_seconds,
)
from apex_opt.spec import catalog
from apex_opt.spec.device_efficiency import Decode, LatentDecode, Prefill, Product, ShortDecode
from apex_opt.spec.device_link import Collective

DEVICE = catalog.device("h100-sxm-80gb")
BANDWIDTH = DEVICE.bandwidth_gbytes_per_s * 1e9
PEAK = DEVICE.peak_tflops["bf16"] * 1e12
PRODUCT = Product(compute=0.7, memory=0.8, floor_us=3, blend=3, fill_outputs=1e5, depth_ns=40)
PREFILL = Prefill(compute=0.5, memory=0.4, floor_us=12, length_ns=6)
DECODE = Decode(memory=0.9, floor_us=9, ramp_us=15, ramp_mb=80)
LATENT = LatentDecode(compute=0.6, memory=0.8, blend=3, floor_us=15, head_ns=1.5)
SHORT = ShortDecode(memory=0.7, floor_us=10, head_ns=12)
ALL_REDUCE = Collective(latency_us=5, hop_us=0.4, efficiency=0.7, ramp_us=4)


def write(folder: Path, family: str, header: str, rows: list[tuple[object, ...]]) -> None:
    """Write a table of a family, with the columns of `header`."""
    with (folder / f"{family}_measured.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(header.split())
        writer.writerows(rows)


def products(folder: Path, system: str = "h100_sxm", scale: float = 1.0) -> None:
    """Write matrix products that take `PRODUCT`'s time."""
    m, n, k = np.array(
        [*itertools.product([1, 64, 256, 1024, 4096], [1024, 8192, 28672], [2048, 8192])], float
    ).T
    moved = 2 * (m * k + k * n + m * n)
    seconds = product_seconds(PRODUCT, PEAK, BANDWIDTH, (m, n, k), moved) * scale
    rows = zip(m, n, k, seconds * 1e6, strict=True)
    header = "system src gemm_dtype m n k latency_us"
    write(folder, "gemm", header, [(system, "tool/1", "bfloat16", *row) for row in rows])


def attention(folder: Path) -> None:
    """Write attention that takes `PREFILL`'s and `DECODE`'s time: 32 heads, 8 of them cached."""
    batch, length = np.array([*itertools.product([1, 4, 16], [128, 512, 2048, 8192])], float).T
    flops = 4 * batch * 32 * 128 * length * (length + 1) / 2
    moved = batch * length * 128 * 2 * (32 * 2 + 8 * 2)
    seconds = prefill_seconds(PREFILL, PEAK, BANDWIDTH, flops, moved, length)
    tail = (32, 8, 128)
    rows = [
        ("h100_sxm", b, s, *tail, "bfloat16", "bfloat16", t * 1e6)
        for b, s, t in zip(batch, length, seconds, strict=True)
    ]
    heads = "num_heads num_key_value_heads head_dim"
    columns = f"system batch_size isl {heads} attn_dtype kv_cache_dtype latency_us"
    write(folder, "prefill_attention", columns, rows)
    seconds = decode_seconds(DECODE, BANDWIDTH, 2 * batch * length * 8 * 128 * 2)
    rows = [
        ("h100_sxm", b, s, *tail, "bfloat16", t * 1e6)
        for b, s, t in zip(batch, length, seconds, strict=True)
    ]
    columns = f"system batch_size kv_len {heads} kv_cache_dtype latency_us"
    write(folder, "decode_attention", columns, rows)


def latent(folder: Path) -> None:
    """Write latent attention of 512 + 64 numbers that takes `PREFILL`'s and `LATENT`'s time."""
    batch, length, heads = np.array(
        [*itertools.product([1, 8, 64, 256], [128, 1024, 8192, 65536], [16, 48, 128])], float
    ).T
    flops = 2 * batch * heads * 320 * length * (length + 1) / 2
    moved = 2 * batch * length * (2 * heads * 320 + 576)
    seconds = prefill_seconds(PREFILL, PEAK, BANDWIDTH, flops, moved, length)
    rows = [
        ("h100_sxm", b, s, h, 512, 128, 64, 128, "bfloat16", t * 1e6)
        for b, s, h, t in zip(batch, length, heads, seconds, strict=True)
    ]
    widths = "kv_lora_rank qk_nope_dim qk_rope_dim v_head_dim"
    columns = f"system batch_size isl num_heads {widths} kv_cache_dtype latency_us"
    write(folder, "latent_prefill", columns, rows)
    work = 2 * batch * length * heads * 1088, batch * length * 576 * 2
    seconds = head_seconds(LATENT, batch * heads)
    seconds = seconds + latent_read_seconds(LATENT, PEAK, BANDWIDTH, *work)
    rows = [
        ("h100_sxm", b, s, h, 512, 64, "bfloat16", t * 1e6)
        for b, s, h, t in zip(batch, length, heads, seconds, strict=True)
    ]
    columns = (
        "system batch_size kv_len num_heads kv_lora_rank qk_rope_dim kv_cache_dtype latency_us"
    )
    write(folder, "latent_decode", columns, rows)


def window(folder: Path) -> None:
    """Write attention of 32 heads, 8 of them cached, to 1,024 tokens, in part to an open window."""
    batch, length = np.array(
        [*itertools.product([1, 4, 16, 64], [512, 2048, 8192, 32768])], float
    ).T
    seen = np.minimum(length, 1024)
    flops = 4 * batch * 32 * 128 * (seen * (seen + 1) / 2 + (length - seen) * seen)
    moved = batch * length * 128 * 2 * (32 * 2 + 8 * 2)
    seconds = prefill_seconds(PREFILL, PEAK, BANDWIDTH, flops, moved, length)
    tail = (32, 8, 128, 1024)
    rows = [
        ("h100_sxm", b, s, *tail, "bfloat16", "bfloat16", t * 1e6)
        for b, s, t in zip(batch, length, seconds, strict=True)
    ]
    heads = "num_heads num_key_value_heads head_dim window_size"
    columns = f"system batch_size isl {heads} attn_dtype kv_cache_dtype latency_us"
    write(folder, "window_prefill", columns, rows)
    seconds = head_seconds(SHORT, batch * 8)
    seconds = seconds + 2 * batch * 1024 * 8 * 128 * 2 / (BANDWIDTH * SHORT.memory)
    seconds = np.where(length > 1024, seconds, 1.0)  # another kernel: left out
    rows = [
        ("h100_sxm", b, s, *tail, "bfloat16", t * 1e6)
        for b, s, t in zip(batch, length, seconds, strict=True)
    ]
    columns = f"system batch_size kv_len {heads} kv_cache_dtype latency_us"
    write(folder, "window_decode", columns, rows)


def linear(folder: Path) -> None:
    """Write the passage of recurrent states: 16 key heads, `values` value heads, 128 wide each."""
    batch, length, values = np.array(
        [*itertools.product([1, 4, 16, 64], [128, 1024, 8192], [16, 32])], float
    ).T
    tokens, keys = batch * length, 16 * 128
    flops = 6 * tokens * values * 128 * 128
    moved = 2 * tokens * (2 * keys + 3 * values * 128)
    seconds = prefill_seconds(PREFILL, PEAK, BANDWIDTH, flops, moved, length)
    widths = (128, 128, 4)
    rows = [
        ("h100_sxm", b, s, 16, v, *widths, t * 1e6)
        for b, s, v, t in zip(batch, length, values, seconds, strict=True)
    ]
    heads = "num_k_heads num_v_heads head_k_dim head_v_dim d_conv"
    write(folder, "linear_prefill", f"system batch_size isl {heads} latency_us", rows)
    state = values * 128 * 128 * 4 + (2 * keys + values * 128) * 3 * 2
    seconds = head_seconds(SHORT, batch * values) + 2 * batch * state / (BANDWIDTH * SHORT.memory)
    rows = [
        ("h100_sxm", b, 16, v, *widths, t * 1e6)
        for b, v, t in zip(batch, values, seconds, strict=True)
    ]
    write(folder, "linear_decode", f"system batch_size {heads} latency_us", rows)


def collectives(folder: Path) -> None:
    """Write all-reduces that take `ALL_REDUCE`'s time."""
    devices, size = np.array([*itertools.product([2, 4, 8], 4.0 ** np.arange(4, 14))]).T
    link = DEVICE.link.bandwidth_gbytes_per_s * 1e9
    bus = 2 * (devices - 1) / devices * size
    seconds = collective_seconds(ALL_REDUCE, link, devices, size, bus)
    rows = [
        ("h100_sxm", "custom_allreduce", "vllm_graph", int(g), b, t * 1e6)
        for g, b, t in zip(devices, size, seconds, strict=True)
    ]
    write(folder, "collectives", "system op variant num_gpus bytes latency_us", rows)
