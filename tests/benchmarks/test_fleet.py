import copy
import json
import os
from pathlib import Path

import pytest
from typer import Typer
from typer.testing import CliRunner

from benchmarks.fleet import CLOSE, cheapest, lines, main, read, run

CASE = {
    "name": "two",
    "input": {
        "gpu_info": {
            "small": {"cost": 1.0, "tputs": [[2.0, 0.0]]},
            "large": {"cost": 3.5, "tputs": [[4.0, 4.0]]},
        },
        "workload_distribution": [[0.75, 0.25]],
        "total_request_rate": 8.0,
    },
    "expected_optimal_cost": 5.5,
}


def test_work_is_the_rate_of_a_class_over_what_a_device_carries():
    data = read(CASE)
    assert data.features == 2
    # 6 of 2 a second are 3 devices; the second class is never served: twice what all can be.
    assert data.kinds[0].work == ((3 * 10**9, 2 * 10**15 * 3),)
    assert data.kinds[1].work == ((1_500_000_000, 500_000_000),)
    assert [kind.max_count for kind in data.kinds] == [3, 2]


def test_load_is_split_freely_between_types():
    # One large serves all of the second class and 2 of the first; two small the other 4.
    row = run(CASE, time_limit_s=10.0)
    assert (row["objective"], row["bound"], row["proved"]) == (5.5, 5.5, True)
    assert row["counts"] == {"small": 2, "large": 1}


def test_what_nothing_can_serve_is_proved_to_have_no_mix():
    case = copy.deepcopy(CASE)
    case["input"]["gpu_info"].pop("large")
    row = run(case, time_limit_s=10.0)
    assert (row["objective"], row["counts"], row["proved"]) == (None, None, True)


def test_a_mix_that_is_short_by_a_millionth_is_cut():
    case = copy.deepcopy(CASE)
    case["input"]["total_request_rate"] = 8.000004
    # The second class then takes 0.5000003 of a large one, so that two small are not enough.
    assert cheapest(read(case), 10.0).counts == (3, 1)


def test_the_command_prints_a_line_a_case_and_a_summary(tmp_path):
    (tmp_path / "two.json").write_text(json.dumps(CASE))
    app = Typer()
    app.command()(main)

    result = CliRunner().invoke(app, [str(tmp_path)])

    first, last = map(json.loads, result.stdout.splitlines())
    assert first["published"] == first["objective"] == 5.5
    assert last["cases"] == last["proved"] == last["at_or_below_published"] == 1


@pytest.fixture
def folder():
    root = Path(__file__).parents[3] / "shared" / "data"
    found = Path(os.environ.get("APEXOPT_DATA", root)) / "fleet"
    if not found.is_dir():
        pytest.skip("the public workload histograms are not here: set APEXOPT_DATA")
    return found


def test_every_case_is_solved_at_its_expected_cost_and_proved(folder):
    rows = [*lines(folder, time_limit_s=60.0)]
    assert rows
    assert all(row["proved"] for row in rows)
    assert all(row["objective"] == pytest.approx(row["published"], rel=CLOSE) for row in rows)
