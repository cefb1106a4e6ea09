import pytest

from apex_opt.calibrate.calibration import calibrate
from apex_opt.spec import catalog
from tests.calibrate import tables

pytest.importorskip("scipy", reason="the extra `calibrate` is not installed")
HEADER = "system src op dtype shape latency_us power_w power_limit"


def rows_of(device, use, *, seconds_of):
    """Large products of bf16 that draw what `use` says at their utilisation."""
    peak, bandwidth = device.peak_tflops["bf16"] * 1e12, device.bandwidth_gbytes_per_s * 1e9
    for m in (64, 256, 1024, 2048, 4096, 8192, 16384):
        for n in (4096, 8192, 16384):
            flops, moved = 2.0 * m * n * 8192, 2.0 * (m * n + m * 8192 + n * 8192)
            seconds = seconds_of(flops / peak, moved / bandwidth)
            compute, memory = flops / peak / seconds, moved / bandwidth / seconds
            share = use[2] + min(max(use[0] * compute, use[1] * memory), 1 - use[2])
            watts = device.idle_w + share * (device.tdp_w - device.idle_w)
            yield (device.name, "", "gemm", "bfloat16", f"m{m}_n{n}_k8192", seconds * 1e6, watts)


def test_power_that_follows_a_curve_gives_it_back_and_defects_are_left_out(tmp_path):
    device, use = catalog.device("h200-sxm-141gb"), (1.2, 0.5, 0.1)
    rows = [
        (*row, device.tdp_w)
        for row in rows_of(device, use, seconds_of=lambda c, m: max(c, m) / 0.6 + 30e-6)
    ]
    defects = [
        (device.name, "", "gemm", "bfloat16", "m16384_n8192_k8192", 3000.0, 0.0, 700.0),
        (device.name, "", "gemm", "bfloat16", "m1_n1024_k1024", 5.0, 600.0, 700.0),
        (device.name, "", "allreduce", "bfloat16", "g2_elems1024", 50.0, 600.0, 700.0),
        (device.name, "", "gemm", "unknown", "m1_n1024_k1024", 50.0, 600.0, 700.0),
    ]
    tables.write(tmp_path, "power", HEADER, [*rows, *defects])
    (row,) = calibrate(tmp_path, device).rows
    curve = row.fit.curve
    assert (curve.compute, curve.memory, curve.active) == pytest.approx(use, abs=0.05)
    assert row.fit.left_out == len(defects)
