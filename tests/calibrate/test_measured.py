"""The catalogue's curves against measured kernels, of TensorRT-LLM.

Products in 16 bits and in blocks of fp8, and prompts in 8 bits, were fitted to these very tables;
decode attention to kernels of vLLM, which differ from them by some percent.
"""

import os
from pathlib import Path

import numpy as np
import pytest

from apex_opt.calibrate import attention, collectives, products
from apex_opt.calibrate.columns import read
from apex_opt.calibrate.scores import calibrations, scores
from apex_opt.spec import catalog

DATA = Path(os.environ.get("APEXOPT_DATA", Path(__file__).parents[2].parent / "shared" / "data"))
KERNELS = DATA / "kernels"
SYSTEMS = ["h100_sxm", "h200_sxm", "b200_sxm", "gb200", "a100_sxm", "l40s", "rtx_pro_6000_server"]
MEASURED = [catalog.device(system).name for system in SYSTEMS]

pytestmark = pytest.mark.skipif(
    not (KERNELS / "gemm_measured.csv").is_file(), reason="measured kernels are absent"
)


@pytest.fixture(scope="module")
def fitted():
    """Return how near the curves come that are fitted to all tables, each shape left out once."""
    pytest.importorskip("scipy", reason="the extra `calibrate` is not installed")
    return scores(calibrations(KERNELS))


@pytest.mark.parametrize(
    ("operators", "most"),
    [
        ("matrix products", 6),
        ("attention of prompts", 5),
        ("attention, decoding", 5),
        ("collectives", 10),
    ],
)
def test_shapes_left_out_of_the_fits_are_met_within_what_is_aimed_at(fitted, operators, most):
    (found,) = [s for s in fitted if (s.device, s.name) == ("all", operators)]
    assert found.rows > 1000
    assert found.median <= most


def errors(problem, curve):
    """Return median and 90th percentile of the relative errors of rows within the data sheet."""
    real = problem.measured >= problem.least
    off = np.abs(problem.predict(curve) / problem.measured - 1)[real] * 100
    return np.median(off), np.percentile(off, 90)


def test_measured_devices_have_a_narrow_band_and_others_a_wide_one():
    narrow = [
        d for d in catalog.names("devices") if catalog.device(d).efficiency.error_band <= 0.15
    ]
    assert set(narrow) == {*MEASURED, "b300-sxm", "gb300"}


@pytest.mark.parametrize("name", MEASURED)
@pytest.mark.parametrize("table", [(16, "bfloat16", "bf16"), (8, "fp8_block", "fp8-block")])
def test_matrix_products_take_the_time_that_the_catalogue_says(name, table):
    device, (_, dtype, kind) = catalog.device(name), table
    rows = read(KERNELS, device)["gemm"].where("gemm_dtype", dtype)
    if not len(rows):
        pytest.skip(f"{dtype} was not measured on {name}")
    found = errors(products.problem(rows, device, dtype), device.efficiency.products[kind])
    stated = device.efficiency.products[kind].error
    # 8-bit formats share a floor that other kernels set: up to 3 % more at small batches.
    assert found[0] <= stated[0] + 3
    assert found[1] <= stated[1] + 8


NOT_A100 = [name for name in MEASURED if name != "a100-sxm-80gb"]
"""The A100 has no fp8, and its table of decode attention holds rows above the memory's rate."""


@pytest.mark.parametrize("name", NOT_A100)
def test_prompts_in_8_bits_take_the_time_that_the_catalogue_says(name):
    device = catalog.device(name)
    rows = read(KERNELS, device)["prefill_attention"]
    problem = attention.prefill_problem(rows.where("attn_dtype", "fp8"), device, "fp8")
    assert errors(problem, device.efficiency.prefill["fp8"])[0] < 8


@pytest.mark.parametrize("name", NOT_A100)
def test_reading_a_cache_takes_the_time_that_the_catalogue_says(name):
    device = catalog.device(name)
    rows = read(KERNELS, device)["decode_attention"]
    problem = attention.decode_problem(rows.where("kv_cache_dtype", "bfloat16"), device, "bfloat16")
    assert errors(problem, device.efficiency.decode["bf16"])[0] < 14


@pytest.mark.parametrize("name", MEASURED)
def test_an_all_reduce_takes_the_time_that_the_catalogue_says(name):
    device = catalog.device(name)
    rows = read(KERNELS, device)["collectives"].where("variant", "vllm_graph")
    assert errors(collectives.problem(rows, device, 2), device.link)[0] < 11
