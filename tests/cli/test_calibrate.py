import json
import sys

import pytest
import tomli
from typer.testing import CliRunner

from apex_opt.cli.app import app
from apex_opt.errors import CallError, SpecError
from tests.calibrate import tables

HEAD = "curve                         rows  left out         error  numbers"


def run(*arguments):
    return CliRunner().invoke(app, ["calibrate", *map(str, arguments)])


@pytest.fixture
def kernels(tmp_path):
    pytest.importorskip("scipy", reason="the extra `calibrate` is not installed")
    tables.products(tmp_path)
    return tmp_path


def test_each_curve_is_a_line(kernels):
    shown = run(kernels, "--device", "H100")
    assert shown.exit_code == 0
    head, curve, *_ = shown.stdout.splitlines()
    assert head == HEAD
    assert curve.startswith("products.bf16                   30         0")


def test_json_on_stdout_is_all_that_stands_there(kernels):
    shown = run(kernels, "--device", "h100-sxm-80gb", "--json", "-")
    (curve,) = json.loads(shown.stdout)["curves"]
    assert (curve["place"], curve["rows"], curve["left_out"]) == ("products.bf16", 30, 0)
    assert curve["compute"] == pytest.approx(tables.PRODUCT.compute, rel=0.02)


def test_toml_goes_to_a_file_the_table_to_stdout(kernels):
    out = kernels / "h100.toml"
    shown = run(kernels, "--device", "h100-sxm-80gb", "--source", "our lab", "-o", out)
    assert shown.stdout.splitlines()[0] == HEAD
    found = tomli.loads(out.read_text())["efficiency"]
    assert found["source"] == "our lab: tool/1"
    assert set(found["products"]) == {"bf16"}


def test_both_cannot_go_to_one_place(kernels):
    shown = run(kernels, "--device", "h100", "--json", "-", "-o", "-")
    assert isinstance(shown.exception, CallError)
    assert str(shown.exception) == "the curves and the tables cannot both go to -"


def test_a_device_outside_the_catalogue_is_a_data_sheet_of_its_own(tmp_path):
    pytest.importorskip("scipy", reason="the extra `calibrate` is not installed")
    tables.products(tmp_path, system="My_GPU")
    sheet = tmp_path / "mine.toml"
    dump = tables.DEVICE.model_dump(include={"memory_bytes", "bandwidth_gbytes_per_s"})
    lines = [f"{key} = {value}" for key, value in dump.items()]
    lines += ['name = "my-gpu"', f"peak_tflops = {{ bf16 = {tables.PEAK / 1e12} }}"]
    link = ["[link]", 'kind = "PCIe 5"', "bandwidth_gbytes_per_s = 64"]
    sheet.write_text("\n".join([*lines, *link]))
    shown = run(tmp_path, "--device", sheet, "--json", "-")
    (curve,) = json.loads(shown.stdout)["curves"]
    assert (curve["place"], curve["rows"]) == ("products.bf16", 30)
    assert curve["compute"] == pytest.approx(tables.PRODUCT.compute, rel=0.02)


def test_faults_of_a_data_sheet_are_told_with_their_lines(tmp_path):
    sheet = tmp_path / "mine.toml"
    sheet.write_text(
        'name = "my-gpu"\nmemory_bytes = -1\nbandwidth_gbytes_per_s = 900\n'
        'peak_tflops = { bf16 = 200 }\n[link]\nkind = "PCIe 5"\n'
    )
    shown = run(tmp_path, "--device", sheet)
    assert isinstance(shown.exception, SpecError)
    assert str(shown.exception).splitlines() == [
        f"{sheet}:2: memory_bytes: must be 1 or more, got -1",
        (
            f"{sheet}:5: link.bandwidth_gbytes_per_s: missing; write a number of 0.001 or more "
            "(per device and direction, data sheet)"
        ),
    ]


def test_an_unknown_device_is_refused(tmp_path):
    shown = run(tmp_path, "--device", "h100-sxm-80gbb")
    assert isinstance(shown.exception, CallError)
    expected = "--device: unknown device `h100-sxm-80gbb`; did you mean `h100-sxm-80gb`?"
    assert str(shown.exception) == expected


def test_without_scipy_it_says_what_to_install(kernels, monkeypatch):
    monkeypatch.setitem(sys.modules, "scipy.optimize", None)
    shown = run(kernels, "--device", "h100-sxm-80gb")
    assert isinstance(shown.exception, CallError)
    assert str(shown.exception) == (
        "`apexopt calibrate` needs scipy; install it with `pip install 'apexopt[calibrate]'`"
    )


def test_without_a_device_the_errors_of_all_are_told(kernels):
    shown = run(kernels)
    assert shown.exit_code == 0
    head, whole, own, _, curves, curve, *_ = shown.stdout.splitlines()
    assert head == "device              operators                     rows  left out         error"
    assert whole.startswith("all                 matrix products                 30         0")
    assert own.startswith("h100-sxm-80gb       matrix products                 30         0")
    assert (
        curves == "device              curve                         rows  left out         error"
    )
    assert curve.startswith("h100-sxm-80gb       products.bf16                   30         0")


def test_the_errors_of_all_devices_are_read_by_scripts(kernels):
    found = json.loads(run(kernels, "--json", "-").stdout)
    assert [score["device"] for score in found["scores"]] == ["all", "h100-sxm-80gb"]
    assert found["scores"][0]["median"] <= found["scores"][0]["high"] < 1.5
    assert [device["device"] for device in found["devices"]] == ["h100-sxm-80gb"]


def test_tables_for_the_catalogue_are_those_of_one_device(kernels):
    shown = run(kernels, "-o", "-")
    assert isinstance(shown.exception, CallError)
    assert str(shown.exception) == ("--out writes the tables of one device: name it with --device")
