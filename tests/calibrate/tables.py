"""Tables of kernels that follow a known curve exactly, for tests."""

from __future__ import annotations

import csv
import itertools
from pathlib import Path

import numpy as np

from apex_opt.cost.curves import (
    Prompts,
    Reads,
    collective_seconds,
    decode_seconds,
    prefill_seconds,
    product_seconds,
)
from apex_opt.spec import catalog
from apex_opt.spec.device_efficiency import Decode, LatentDecode, Prefill, Product
from apex_opt.spec.device_link import Collective

DEVICE = catalog.device("h100-sxm-80gb")
BANDWIDTH = DEVICE.bandwidth_gbytes_per_s * 1e9
PEAK = DEVICE.peak_tflops["bf16"] * 1e12
PRODUCT = Product(compute=0.7, memory=0.8, floor_us=3, blend=3, fill_outputs=1e5, depth_ns=40)
PREFILL = Prefill(compute=0.5, memory=0.4, floor_us=12, length_ns=6)
SPARSE = Prefill(compute=0.6, floor_us=3, length_ns=2)
LINEAR = Prefill(compute=0.5, memory=0.4, floor_us=12, length_ns=40, blend=3)
RAMP = {"ramp_us": 6, "ramp_mb": 30}
DECODE = Decode(memory=0.9, floor_us=9, head_ns=8, token_ns=0.6, cached_mb=40, **RAMP)
LATENT = LatentDecode(
    compute=0.6, memory=0.8, blend=3, floor_us=15, head_ns=1.5, token_ns=0.5, cached_mb=40, **RAMP
)
WINDOW = Decode(memory=0.7, floor_us=10, query_ns=12, token_ns=2, cached_mb=20, **RAMP)
STATE = Decode(memory=0.7, floor_us=10, head_ns=12, cached_mb=20, **RAMP)
HEADS = [(8, 1), (32, 8), (32, 32)]
"""Query and key-value heads."""
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


def attention(folder: Path, widths: tuple[int, ...] = (128,)) -> None:
    """Write attention that takes `PREFILL`'s and `DECODE`'s time, of heads so wide."""
    rows = grid([1, 4, 16, 64], [128, 512, 2048, 8192], HEADS, widths)
    batch, length, heads, kv_heads, dim = rows
    scores = batch * heads * length * (length + 1) / 2
    moved = batch * length * dim * 2 * (heads * 2 + kv_heads * 2)
    prompts = Prompts(4 * dim * scores, moved, length, scores)
    curve = PREFILL if len(widths) == 1 else SCORED
    seconds = prefill_seconds(curve, PEAK, BANDWIDTH, prompts)
    kinds = ["bfloat16", "bfloat16"]
    columns = f"system batch_size isl {SHAPE} attn_dtype kv_cache_dtype latency_us"
    write(folder, "prefill_attention", columns, told(rows, kinds, seconds))
    rows = grid([1, 4, 16, 64, 256], [128, 1024, 8192, 65536], HEADS, widths)
    batch, length, heads, kv_heads, dim = rows
    moved = 2 * batch * length * kv_heads * dim * 2
    seconds = reading(DECODE, moved, length, batch * kv_heads, batch * heads)
    columns = f"system batch_size kv_len {SHAPE} kv_cache_dtype latency_us"
    write(folder, "decode_attention", columns, told(rows, ["bfloat16"], seconds))


SHAPE = "num_heads num_key_value_heads head_dim"
SCORED = PREFILL.model_copy(update={"score_ps": 0.8})


def grid(
    batches: list[int], lengths: list[int], heads: list[tuple[int, int]], widths: tuple[int, ...]
) -> list[np.ndarray]:
    """Return batch, length, both heads and width of every row."""
    rows = itertools.product(batches, lengths, heads, widths)
    return list(np.array([(b, s, *h, d) for b, s, h, d in rows], float).T)


def told(rows: list[np.ndarray], kinds: list[str], seconds: np.ndarray) -> list[tuple[object, ...]]:
    """Return the rows of a table: numbers, formats, time."""
    return [("h100_sxm", *row, *kinds, t * 1e6) for *row, t in zip(*rows, seconds, strict=True)]


def reading(curve: Decode, moved, length, heads, query_heads, flops=None) -> np.ndarray:
    """Return the time of reads that are measured again and again."""
    reads = Reads(
        moved, length, heads, query_heads, np.zeros_like(moved) if flops is None else flops
    )
    return decode_seconds(curve, PEAK, BANDWIDTH, reads, repeated=True)


def latent(folder: Path) -> None:
    """Write latent attention of 512 + 64 numbers that takes `PREFILL`'s and `LATENT`'s time."""
    batch, length, heads = rows = np.array(
        [*itertools.product([1, 8, 64, 256], [128, 1024, 8192, 65536], [16, 48, 128])], float
    ).T
    flops = 2 * batch * heads * 320 * length * (length + 1) / 2
    moved = 2 * batch * length * (2 * heads * 320 + 576)
    prompts = Prompts(flops, moved, length, flops / 640)
    seconds = prefill_seconds(PREFILL, PEAK, BANDWIDTH, prompts)
    widths = [512, 128, 64, 128, "bfloat16"]
    names = "kv_lora_rank qk_nope_dim qk_rope_dim v_head_dim"
    columns = f"system batch_size isl num_heads {names} kv_cache_dtype latency_us"
    write(folder, "latent_prefill", columns, told([*rows], widths, seconds))
    moved, flops = batch * length * 576 * 2, 2 * batch * length * heads * 1088
    seconds = reading(LATENT, moved, length, batch * heads, batch * heads, flops)
    columns = (
        "system batch_size kv_len num_heads kv_lora_rank qk_rope_dim kv_cache_dtype latency_us"
    )
    write(folder, "latent_decode", columns, told([*rows], [512, 64, "bfloat16"], seconds))


def sparse(folder: Path) -> None:
    """Write sparse latent attention of prompts: 2,048 of 512 + 64 numbers, 64 heads and 128."""
    batch, length, heads = rows = np.array(
        [*itertools.product([1, 4, 16], [128, 1024, 8192], [32, 64, 128])], float
    ).T
    computed = np.maximum(heads, 64)
    flops = 2 * batch * length * 2048 * computed * 1088
    prompts = Prompts(flops, 2 * batch * length * heads * 1088, length, np.zeros_like(flops))
    seconds = prefill_seconds(SPARSE, PEAK, BANDWIDTH, prompts)
    names = "kv_lora_rank qk_rope_dim index_topk"
    columns = f"system batch_size isl num_heads {names} latency_us"
    write(folder, "sparse_prefill", columns, told([*rows], [512, 64, 2048], seconds))


def window(folder: Path) -> None:
    """Write attention to windows of 128 and 1,024 tokens, in part to an open window."""
    rows = grid([1, 4, 16, 64, 256], [512, 2048, 8192], HEADS, (128, 1024))
    batch, length, heads, kv_heads, size = rows
    seen = np.minimum(length, size)
    scores = batch * heads * (seen * (seen + 1) / 2 + (length - seen) * seen)
    moved = batch * length * 128 * 2 * (heads * 2 + kv_heads * 2)
    prompts = Prompts(4 * 128 * scores, moved, length, scores)
    seconds = prefill_seconds(PREFILL, PEAK, BANDWIDTH, prompts)
    shape = SHAPE.replace("head_dim", "window_size head_dim")
    kinds = [128, "bfloat16", "bfloat16"]
    columns = f"system batch_size isl {shape} attn_dtype kv_cache_dtype latency_us"
    write(folder, "window_prefill", columns, told(rows, kinds, seconds))
    moved = 2 * batch * size * kv_heads * 128 * 2
    seconds = reading(WINDOW, moved, size, batch * kv_heads, batch * heads)
    seconds = np.where(length > size, seconds, 1.0)  # another kernel: left out
    columns = f"system batch_size kv_len {shape} kv_cache_dtype latency_us"
    write(folder, "window_decode", columns, told(rows, kinds[:2], seconds))


def linear(folder: Path) -> None:
    """Write the passage of recurrent states: 16 key heads, `values` value heads, 128 wide each."""
    batch, length, values = np.array(
        [*itertools.product([1, 4, 16, 64], [128, 1024, 8192], [16, 32])], float
    ).T
    tokens, keys = batch * length, 16 * 128
    flops = 6 * tokens * values * 128 * 128
    moved = 2 * tokens * (2 * keys + 3 * values * 128)
    prompts = Prompts(flops, moved, length, np.zeros_like(moved))
    seconds = prefill_seconds(LINEAR, PEAK, BANDWIDTH, prompts)
    widths = [128, 128, 4]
    keys_of = np.full_like(values, 16)
    heads = "num_k_heads num_v_heads head_k_dim head_v_dim d_conv"
    columns = f"system batch_size isl {heads} latency_us"
    write(
        folder, "linear_prefill", columns, told([batch, length, keys_of, values], widths, seconds)
    )
    state = values * 128 * 128 * 4 + (2 * keys + values * 128) * 3 * 2
    none = np.zeros_like(state)
    seconds = reading(STATE, 2 * batch * state, none, batch * values, none)
    columns = f"system batch_size {heads} latency_us"
    write(folder, "linear_decode", columns, told([batch, keys_of, values], widths, seconds))


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
