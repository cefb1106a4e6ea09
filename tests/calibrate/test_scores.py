import numpy as np
import pytest

from apex_opt.calibrate.scores import calibrations, scores
from apex_opt.errors import CallError
from tests.calibrate import tables

pytest.importorskip("scipy", reason="the extra `calibrate` is not installed")


def test_errors_are_told_by_class_over_all_devices_and_of_each(tmp_path):
    rows = [
        (system, "bfloat16", m, n, 4096, floor + (m * n + n * 4096) / 1e6)
        for system, floor in (("h100_sxm", 4.0), ("b200_sxm", 9.0), ("no such device", 1.0))
        for m in (1, 16, 256, 4096)
        for n in (1024, 4096, 8192, 28672)
    ]
    tables.write(tmp_path, "gemm", "system gemm_dtype m n k latency_us", rows)
    found = calibrations(tmp_path)
    told = scores(found)
    assert [(s.device, s.name) for s in told] == [
        ("all", "matrix products"),
        ("b200-sxm", "matrix products"),
        ("h100-sxm-80gb", "matrix products"),
    ]
    errors = [one.rows[0].fit.errors for one in found]
    assert told[0].median == np.median(np.concatenate(errors))
    assert [s.rows for s in told] == [sum(map(len, errors)), *map(len, errors)]
    assert sum(s.rows + s.left_out for s in told[1:]) == 32


def test_every_kind_of_operator_belongs_to_one_class(tmp_path):
    for write in (tables.products, tables.attention, tables.latent, tables.window, tables.linear):
        write(tmp_path)
    found = calibrations(tmp_path)
    told = [score for score in scores(found) if score.device == "all"]
    assert [s.name for s in told] == [
        "matrix products",
        "attention of prompts",
        "attention, decoding",
    ]
    assert sum(s.rows for s in told) == sum(row.fit.rows for row in found[0].rows)


def test_a_folder_of_unknown_systems_is_refused(tmp_path):
    tables.products(tmp_path, system="mine")
    with pytest.raises(CallError) as caught:
        calibrations(tmp_path)
    assert str(caught.value) == f"{tmp_path}: no device of the catalogue among mine"
