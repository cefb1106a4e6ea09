"""What the catalogue says of measured devices, against the measurements."""

import csv
import json
import os
from pathlib import Path

import numpy as np
import pytest

from apex_opt.spec import catalog

DATA = Path(os.environ.get("APEXOPT_DATA", Path(__file__).parents[2].parent / "shared" / "data"))
KERNELS, FIDELITY = DATA / "kernels", DATA / "fidelity"
SYSTEMS = {
    "h100_sxm": "h100-sxm-80gb",
    "h200_sxm": "h200-sxm-141gb",
    "b200_sxm": "b200-sxm",
    "gb200": "gb200",
    "a100_sxm": "a100-sxm-80gb",
    "l40s": "l40s",
    "rtx_pro_6000_server": "rtx-pro-6000",
}


def columns(name, wanted, *numbers):
    """Return numeric columns of the rows of a table that `wanted` picks."""
    path = KERNELS / f"{name}_measured.csv"
    if not path.is_file():
        pytest.skip(f"measured data is absent: {path.name}")
    with path.open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if wanted(row)]
    return [np.array([float(row[column]) for row in rows]) for column in numbers]


def median_error(predicted, measured):
    return float(np.median(np.abs(predicted / measured - 1)))


@pytest.mark.parametrize("system", SYSTEMS)
def test_matrix_products_take_the_time_that_the_roofline_says(system):
    device = catalog.device(SYSTEMS[system])
    m, n, k, measured = columns(
        "gemm",
        lambda row: row["system"] == system and row["gemm_dtype"] == "bfloat16",
        *("m", "n", "k", "latency_us"),
    )
    moved, flops = 2 * (n * k + m * k + m * n), 2 * m * n * k
    real = moved / measured < device.bandwidth_gbytes_per_s * 1e3  # the others never left the cache
    e = device.efficiency
    predicted = e.gemm_floor_us + np.maximum(
        flops / (device.peak_tflops["bf16"] * e.compute["bf16"] * 1e6),
        moved / (device.bandwidth_gbytes_per_s * e.memory * 1e3),
    )
    assert median_error(predicted[real], measured[real]) < 0.08


@pytest.mark.parametrize("system", SYSTEMS)
def test_decode_attention_takes_the_time_of_reading_its_cache(system):
    device = catalog.device(SYSTEMS[system])
    batch, length, heads, dim, measured = columns(
        "decode_attention",
        lambda row: row["system"] == system and row["kv_cache_dtype"] == "bfloat16",
        *("batch_size", "kv_len", "num_key_value_heads", "head_dim", "latency_us"),
    )
    moved = 2 * batch * length * heads * dim * 2
    bandwidth = device.bandwidth_gbytes_per_s * 1e3
    real = (moved / measured < 0.95 * bandwidth) & (moved > 1e6)
    e = device.efficiency
    predicted = e.attention_floor_us + moved / (bandwidth * e.kv_memory)
    assert median_error(predicted[real], measured[real]) < 0.13


@pytest.mark.parametrize("system", SYSTEMS)
def test_prefill_attention_never_beats_the_share_of_the_peak_by_far(system):
    device = catalog.device(SYSTEMS[system])
    batch, length, heads, dim, measured = columns(
        "prefill_attention",
        lambda row: (
            row["system"] == system and row["attn_dtype"] == row["kv_cache_dtype"] == "bfloat16"
        ),
        *("batch_size", "isl", "num_heads", "head_dim", "latency_us"),
    )
    flops = 2 * batch * heads * dim * length * (length + 1)
    share = flops / (measured * device.peak_tflops["bf16"] * 1e6)
    assert np.percentile(share, 95) == pytest.approx(device.efficiency.attention, abs=0.06)


@pytest.mark.parametrize("system", [s for s in SYSTEMS if s != "gb200"])
def test_an_all_reduce_takes_the_time_that_the_link_says(system):
    link = catalog.device(SYSTEMS[system]).link
    devices, size, measured = columns(
        "collectives",
        lambda row: row["system"] == system and row["variant"] == "vllm_graph",
        *("num_gpus", "bytes", "latency_us"),
    )
    bus = 2 * (devices - 1) / devices * size
    crowd = 1 + link.contention * (devices - 2)
    rate = link.bandwidth_gbytes_per_s * link.efficiency * 1e3
    predicted = link.latency_us + link.hop_us * (devices - 2) + bus / rate * crowd
    assert median_error(predicted, measured) < 0.2


def test_every_device_and_model_of_the_measured_runs_is_known():
    files = sorted(FIDELITY.glob("*.jsonl"))
    if not files:
        pytest.skip("measured data is absent: fidelity")
    runs = [json.loads(line) for file in files for line in file.read_text().splitlines()]
    assert runs
    for name in {run["device"] for run in runs}:
        assert catalog.device(name).name == name
    for name in {run["model"] for run in runs}:
        assert catalog.model(name)
    for name in {run["engine"]["name"] for run in runs}:
        assert catalog.release(name)
