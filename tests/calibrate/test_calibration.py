import pytest

from apex_opt.calibrate.calibration import MEASURED_BAND, calibrate
from apex_opt.errors import CallError
from tests.calibrate import tables

pytest.importorskip("scipy", reason="the extra `calibrate` is not installed")


def fitted(folder):
    return {row.place: row.fit for row in calibrate(folder, tables.DEVICE).rows}


def close(curve, known):
    numbers = curve.model_dump(exclude={"error"})
    expected = {name: getattr(known, name) for name in numbers}
    assert numbers == pytest.approx(expected, rel=0.03, abs=0.02)
    assert max(curve.error) < 1.5


def test_products_that_follow_a_curve_give_it_back(tmp_path):
    tables.products(tmp_path)
    close(fitted(tmp_path)["products", "bf16"].curve, tables.PRODUCT)


def test_attention_that_follows_a_curve_gives_it_back(tmp_path):
    tables.attention(tmp_path)
    found = fitted(tmp_path)
    close(found["prefill", "bf16"].curve, tables.PREFILL)
    close(found["decode", "bf16"].curve, tables.DECODE)


def test_heads_of_several_widths_tell_scores_from_products(tmp_path):
    tables.attention(tmp_path, widths=(32, 128))
    close(fitted(tmp_path)["prefill", "bf16"].curve, tables.SCORED)


def test_all_reduces_that_follow_a_curve_give_it_back(tmp_path):
    tables.collectives(tmp_path)
    close(fitted(tmp_path)["link",].curve, tables.ALL_REDUCE)


def test_what_was_measured_replaces_priors_and_the_rest_stays(tmp_path):
    tables.products(tmp_path)
    found = calibrate(tmp_path, tables.DEVICE).device
    assert set(found.efficiency.products) == {"bf16"}
    assert found.efficiency.error_band == MEASURED_BAND
    assert found.efficiency.decode == tables.DEVICE.efficiency.decode
    assert found.link == tables.DEVICE.link


def test_rows_that_beat_the_data_sheet_are_left_out(tmp_path):
    tables.products(tmp_path, scale=0.72)  # the large ones now run at .97 of the peak, or faster
    whole = fitted(tmp_path)["products", "bf16"]
    assert whole.left_out > 0
    assert whole.rows + whole.left_out == 30
    assert whole.curve.compute <= 1


def test_too_few_rows_are_not_fitted(tmp_path):
    rows = [("h100_sxm", "bfloat16", m, 1024, 1024, 10.0) for m in (1, 2, 4)]
    tables.write(tmp_path, "gemm", "system gemm_dtype m n k latency_us", rows)
    assert fitted(tmp_path) == {}


def test_another_device_has_no_rows(tmp_path):
    tables.products(tmp_path, system="b200_sxm")
    with pytest.raises(CallError) as caught:
        calibrate(tmp_path, tables.DEVICE)
    expected = f"{tmp_path}: no row of `h100-sxm-80gb`; the systems there are b200_sxm"
    assert str(caught.value) == expected


def test_8_bit_products_share_the_least_floor(tmp_path):
    rows = [
        ("h100_sxm", name, m, n, 4096, floor + (m * n + n * 4096) / 1e6)
        for name, floor in (("fp8", 12.0), ("fp8_block", 4.0))
        for m in (1, 16, 256, 4096)
        for n in (1024, 4096, 8192, 28672)
    ]
    tables.write(tmp_path, "gemm", "system gemm_dtype m n k latency_us", rows)
    found = fitted(tmp_path)
    floors = [found["products", kind].curve.floor_us for kind in ("fp8", "fp8-block")]
    assert floors[0] == floors[1] < 6


def test_only_products_of_narrow_inputs_pay_for_quantising_them(tmp_path):
    rows = [
        ("h100_sxm", name, m, n, k, 5 + m * n * k / 4e8 + n * k / 2e6 + quantised * m * k / 1e6)
        for name, quantised in (("bfloat16", 0), ("fp8", 2))
        for m in (1, 16, 256, 1024, 4096, 16384)
        for n in (1024, 4096, 28672)
        for k in (2048, 8192)
    ]
    tables.write(tmp_path, "gemm", "system gemm_dtype m n k latency_us", rows)
    found = fitted(tmp_path)
    assert found["products", "bf16"].curve.input_ps == 0
    assert found["products", "fp8"].curve.input_ps == pytest.approx(2, rel=0.2)
