import pytest

from apex_opt.calibrate.calibration import KINDS, calibrate
from apex_opt.calibrate.fragment import fragment
from apex_opt.errors import CallError
from apex_opt.spec import catalog
from tests.calibrate import tables
from tests.calibrate.test_calibration import close

pytest.importorskip("scipy", reason="the extra `calibrate` is not installed")


@pytest.fixture(scope="module")
def calibration(tmp_path_factory):
    folder = tmp_path_factory.mktemp("kernels")
    for write in (tables.latent, tables.sparse, tables.window, tables.linear):
        write(folder)
    return calibrate(folder, tables.DEVICE)


@pytest.fixture(scope="module")
def found(calibration):
    return {row.place[0]: row.fit for row in calibration.rows}


def test_latent_attention_that_follows_a_curve_gives_it_back(found):
    close(found["latent_prefill"].curve, tables.PREFILL)
    close(found["latent_decode"].curve, tables.LATENT)


def test_sparse_prompts_that_follow_a_curve_give_it_back(found):
    close(found["sparse_prefill"].curve, tables.SPARSE)


def test_windows_that_follow_a_curve_give_it_back_where_they_are_full(found):
    close(found["window_prefill"].curve, tables.PREFILL)
    assert found["window_decode"].rows == 75  # the 15 rows of 512 tokens with 1,024 are left out
    close(found["window_decode"].curve, tables.WINDOW)


def test_recurrent_states_that_follow_a_curve_give_it_back(found):
    assert max(found["linear_prefill"].curve.error) < 1.5
    assert found["linear_prefill"].curve.length_ns == pytest.approx(40, rel=0.03)
    assert max(found["linear_decode"].curve.error) < 1.5


def test_every_kind_of_attention_has_a_table_of_the_device(calibration):
    text = fragment(calibration, "our lab")
    assert [name for name in KINDS if f"[efficiency.{name}]" in text] == list(KINDS)
    assert calibration.device.efficiency.decode == tables.DEVICE.efficiency.decode


def test_a_device_without_fp8_gets_no_curve_of_8_bit_latents(tmp_path):
    rows = [
        ("a100_sxm", b, s, 16, 512, 64, "fp8", 20.0 + b * s / 1e3)
        for b in (1, 4, 16, 64)
        for s in (128, 1024, 8192)
    ]
    columns = (
        "system batch_size kv_len num_heads kv_lora_rank qk_rope_dim kv_cache_dtype latency_us"
    )
    tables.write(tmp_path, "latent_decode", columns, rows)
    assert calibrate(tmp_path, catalog.device("a100-sxm-80gb")).rows == ()


def test_a_table_without_its_window_is_refused(tmp_path):
    columns = "system batch_size kv_len num_heads num_key_value_heads head_dim kv_cache_dtype"
    rows = [("h100_sxm", 1, 4096, 32, 8, 128, "bfloat16", 12.0)]
    tables.write(tmp_path, "window_decode", f"{columns} latency_us", rows)
    with pytest.raises(CallError) as caught:
        calibrate(tmp_path, tables.DEVICE)
    assert str(caught.value) == "window_decode_measured.csv: column `window_size` is missing"
