"""The catalogue's curves against the kernels that they were fitted to."""

import os
from pathlib import Path

import numpy as np
import pytest

from apex_opt.calibrate import attention, collectives, products
from apex_opt.calibrate.columns import read
from apex_opt.spec import catalog

DATA = Path(os.environ.get("APEXOPT_DATA", Path(__file__).parents[2].parent / "shared" / "data"))
KERNELS = DATA / "kernels"
MEASURED = [d for d in catalog.names("devices") if catalog.device(d).efficiency.error_band <= 0.15]

pytestmark = pytest.mark.skipif(
    not (KERNELS / "gemm_measured.csv").is_file(), reason="measured kernels are absent"
)


def errors(problem, curve):
    """Return median and 90th percentile of the relative errors of rows within the data sheet."""
    real = problem.measured >= problem.least
    off = np.abs(problem.predict(curve) / problem.measured - 1)[real] * 100
    return np.median(off), np.percentile(off, 90)


def test_seven_devices_are_measured():
    assert len(MEASURED) == 7


@pytest.mark.parametrize("name", MEASURED)
@pytest.mark.parametrize("table", [(16, "bfloat16", "bf16"), (8, "fp8_block", "fp8-block")])
def test_matrix_products_take_the_time_that_the_catalogue_says(name, table):
    device, (_, dtype, kind) = catalog.device(name), table
    rows = read(KERNELS, name)["gemm"].where("gemm_dtype", dtype)
    if not len(rows):
        pytest.skip(f"{dtype} was not measured on {name}")
    found = errors(products.problem(rows, device, dtype), device.efficiency.products[kind])
    stated = device.efficiency.products[kind].error
    assert found[0] <= stated[0] * 1.3 + 0.5
    assert found[1] <= stated[1] * 1.3 + 0.5


@pytest.mark.parametrize("name", MEASURED)
def test_attention_takes_the_time_that_the_catalogue_says(name):
    device, tables = catalog.device(name), read(KERNELS, name)
    rows = tables["prefill_attention"].where("attn_dtype", "bfloat16")
    curve = device.efficiency.prefill["bf16"]
    assert errors(attention.prefill_problem(rows, device, "bfloat16"), curve)[0] < 7
    rows = tables["decode_attention"].where("kv_cache_dtype", "bfloat16")
    curve = device.efficiency.decode["bf16"]
    assert errors(attention.decode_problem(rows, device, "bfloat16"), curve)[0] < 9


@pytest.mark.parametrize("name", MEASURED)
def test_an_all_reduce_takes_the_time_that_the_catalogue_says(name):
    device = catalog.device(name)
    rows = read(KERNELS, name)["collectives"].where("variant", "vllm_graph")
    assert errors(collectives.problem(rows, device, 2), device.link)[0] < 11
