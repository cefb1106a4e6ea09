"""The catalogue knows whatever was measured; tests/calibrate compares its curves with kernels."""

import json
import os
from pathlib import Path

import pytest

from apex_opt.spec import catalog

DATA = Path(os.environ.get("APEXOPT_DATA", Path(__file__).parents[2].parent / "shared" / "data"))
FIDELITY = DATA / "fidelity"


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
