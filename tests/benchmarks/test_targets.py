"""What the shipped numbers are to reach on the measured runs that are at hand, in percent.

Runs of vLLM 0.6 and at constant rate were met by fits of their releases' overheads, the exact
traces by none; docs/validation.md tells what is reached with models left out.
"""

import os
from itertools import islice
from pathlib import Path

import pytest

from benchmarks.fidelity.case import read
from benchmarks.fidelity.outcome import outcomes
from benchmarks.fidelity.table import summary


@pytest.fixture
def folder():
    root = Path(__file__).parents[3] / "shared" / "data"
    found = Path(os.environ.get("APEXOPT_DATA", root)) / "fidelity"
    if not found.is_dir():
        pytest.skip("the measured runs are not here: set APEXOPT_DATA")
    return found


@pytest.mark.parametrize(
    ("file", "every", "statistic", "ttft", "tpot", "e2e"),
    [
        ("vllm_exact_traces", 1, "mape", 5, 2, 2),
        ("vllm_h100_constant_rate", 1, "median", 12, 5, 5),
        ("vllm06_llama70b_8xh100", 1, "mape", 12, 5, 5),
        ("closed_loop_points", 16, "mape", 30, 15, None),
    ],
)
def test_measured_runs_are_met_within_what_is_aimed_at(
    folder, file, every, statistic, ttft, tpot, e2e
):
    rows = outcomes([*islice(read(folder / f"{file}.jsonl"), 0, None, every)])
    found = summary(file, rows)
    assert found["not_predicted"] == 0
    assert found["rank_agreement"] in {None, 1.0}
    for metric, most in (("ttft", ttft), ("tpot", tpot), ("e2e", e2e)):
        assert most is None or found[f"{metric}_{statistic}"] <= most, metric
