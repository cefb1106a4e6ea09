import pytest

from apex_opt.calibrate.columns import is_device, read
from apex_opt.errors import CallError
from apex_opt.spec import catalog

HEADER = "system,m,latency_us\n"
H100 = catalog.device("h100-sxm-80gb")


def table(folder, text, name="gemm"):
    (folder / f"{name}_measured.csv").write_text(text)
    return read(folder, H100)


def fault(call):
    with pytest.raises(CallError) as caught:
        call()
    return str(caught.value)


def test_rows_of_a_device_are_told_by_any_of_its_names(tmp_path):
    text = HEADER + "h100_sxm,1,2\nl40s,3,4\nH100-80GB,5,6\nunheard_of,7,8\n"
    found = table(tmp_path, text)["gemm"]
    assert found.numbers("m").tolist() == [1, 5]
    assert found.lines == (2, 4)


def test_a_system_is_a_device_by_name_or_alias():
    assert is_device("rtx_pro_6000_server", catalog.device("rtx-pro-6000"))
    assert not is_device("h200_sxm", H100)
    assert not is_device("unheard_of", H100)


def test_a_folder_without_measurements_is_refused(tmp_path):
    expected = f"{tmp_path}: no measurements; expected `gemm_measured.csv` or the like"
    assert fault(lambda: read(tmp_path, H100)) == expected


def test_a_column_that_is_missing_is_named(tmp_path):
    found = table(tmp_path, HEADER + "h100_sxm,1,2\n")["gemm"]
    assert fault(lambda: found.numbers("k")) == "gemm_measured.csv: column `k` is missing"


@pytest.mark.parametrize("text", ["many", "", "nan", "inf", "-1"])
def test_a_value_that_is_no_size_is_refused_with_its_line(tmp_path, text):
    found = table(tmp_path, HEADER + f"l40s,1,2\nh100_sxm,{text},2\n")["gemm"]
    expected = f"gemm_measured.csv:3: m: must be a number of 0 or more, got `{text}`"
    assert fault(lambda: found.numbers("m")) == expected


def test_a_kernel_takes_some_time(tmp_path):
    found = table(tmp_path, HEADER + "h100_sxm,1,2\nh100_sxm,1,0\n")["gemm"]
    assert fault(found.microseconds) == "gemm_measured.csv:3: latency_us: must be above 0"


def test_a_row_that_is_too_short_is_refused(tmp_path):
    text = HEADER + "h100_sxm,1\n"
    assert fault(lambda: table(tmp_path, text)) == "gemm_measured.csv:2: 2 values, 3 columns"


def test_a_file_that_is_no_text_is_refused(tmp_path):
    path = tmp_path / "gemm_measured.csv"
    path.write_bytes(b"\xff\xfe")
    found = fault(lambda: read(tmp_path, H100))
    assert found == f"{path}: not UTF-8 (byte 0xff); save the file as UTF-8"
