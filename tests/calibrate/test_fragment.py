import pytest
import tomli

from apex_opt.calibrate.calibration import calibrate
from apex_opt.calibrate.fragment import fragment
from apex_opt.spec.pools import Device
from apex_opt.spec.table import frozen
from tests.calibrate import tables

pytest.importorskip("scipy", reason="the extra `calibrate` is not installed")


@pytest.fixture(scope="module")
def calibration(tmp_path_factory):
    folder = tmp_path_factory.mktemp("kernels")
    tables.products(folder)
    tables.collectives(folder)
    return calibrate(folder, tables.DEVICE)


def test_the_catalogue_accepts_what_is_written_and_reads_the_same_numbers(calibration):
    tables_of_toml = tomli.loads(fragment(calibration, 'a "quoted" source, ' * 8))
    data = tables.DEVICE.model_dump(exclude_none=True) | frozen(tables_of_toml)
    back = Device.model_validate(data)
    without = {"source": True, "power": {"source"}}
    assert back.efficiency.model_dump(exclude=without) == calibration.device.efficiency.model_dump(
        exclude=without
    )
    assert back.link.model_dump(exclude={"source"}) == calibration.device.link.model_dump(
        exclude={"source"}
    )


def test_sources_name_the_measurements_and_what_was_not_measured_keeps_its_own(calibration):
    found = tomli.loads(fragment(calibration, "our lab"))
    assert found["efficiency"]["source"] == "our lab: tool/1"
    assert found["link"]["source"] == "our lab"
    assert found["efficiency"]["power"]["source"] == tables.DEVICE.efficiency.power.source
