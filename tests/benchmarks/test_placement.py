import copy
import json
import os
import re
from pathlib import Path

import pytest
from typer import Typer
from typer.testing import CliRunner

from benchmarks.placement import lines, main, published, read, run, summary

CASE = {
    "name": "four",
    "num_layers": 4,
    "machine_types": {
        "small": {"max_layers": 2, "throughput_tokens_per_s_by_layers": {"1": 6.0, "2": 5.0}},
        "large": {"max_layers": 4, "throughput_tokens_per_s_by_layers": {"1": 9.0, "4": 3.0}},
    },
    "nodes": [{"id": 7, "type": "small"}, {"id": 3, "type": "small"}, {"id": 5, "type": "large"}],
    "links": [
        {"a": "source", "b": 7, "tokens_per_s": 100.0},
        {"a": "source", "b": 5, "tokens_per_s": 100.0},
        {"a": 3, "b": "sink", "tokens_per_s": 100.0},
        {"a": 5, "b": "sink", "tokens_per_s": 100.0},
        {"a": 7, "b": 3, "tokens_per_s": 4.0},
    ],
    "placements": {"ours": {"layers": {"7": [0, 2], "3": [2, 4], "5": [0, 1]}}},
}


def test_links_work_both_ways_and_types_keep_their_order():
    data = read(CASE)
    assert data.machines == (0, 0, 1)
    assert data.rates == ((6.0, 5.0), (9.0, 0.0, 0.0, 3.0))
    assert data.links == ((0.0, 4.0, 0.0), (4.0, 0.0, 0.0), (0.0, 0.0, 0.0))
    assert (data.enter, data.leave) == ((100.0, 0.0, 100.0), (0.0, 100.0, 100.0))


def test_a_published_placement_is_scored_by_our_own_flow():
    assert published(CASE, read(CASE)) == 4.0


def test_a_placement_that_is_none_or_not_whole_is_no_yardstick():
    case = copy.deepcopy(CASE)
    case["placements"] = {
        "not whole": {"layers": {"7": [0, 2]}},
        "too large": {"layers": {"7": [0, 3], "3": [0, 1], "5": [0, 1]}},
    }
    assert published(case, read(case)) is None


def test_a_case_is_solved_better_than_published():
    # 4 over the slow link, and 3 through the large machine beside.
    row = run(CASE, time_limit_s=3.0, workers=1)
    assert (row["case"], row["objective"], row["published"]) == ("four", 7.0, 4.0)
    assert row["bound"] >= 7.0
    assert row["layers"] == {"7": (0, 2), "3": (2, 4), "5": (0, 4)}


def test_the_command_prints_a_line_a_case_and_a_summary(tmp_path):
    (tmp_path / "four.json").write_text(json.dumps(CASE))
    app = Typer()
    app.command()(main)

    result = CliRunner().invoke(app, [str(tmp_path), "--time-limit", "2", "--workers", "1"])

    first, last = map(json.loads, result.stdout.splitlines())
    assert first["objective"] == 7.0
    assert last["cases"] == last["published"] == last["at_or_above_published"] == 1
    assert last["objective_over_published"] == pytest.approx(7 / 4)


def test_a_summary_of_cases_without_published_placements_has_no_ratio():
    row = {"objective": 2.0, "published": None, "bound": 2.0, "proved": True, "seconds": 0.5}
    assert summary([row]) == {
        "faulty": 0,
        "cases": 1,
        "proved": 1,
        "at_or_above_published": 0,
        "published": 0,
        "objective_over_published": None,
        "bound_over_objective": 1.0,
        "seconds": 0.5,
    }


def changed(**changes):
    return read(copy.deepcopy(CASE) | changes)


def test_links_of_both_ways_stand_as_they_are_and_ids_may_be_words():
    there, back = {"a": "7", "b": 3, "tokens_per_s": 4.0}, {"a": 3, "b": "7", "tokens_per_s": 2.0}
    assert changed(links=[there, back, there]).links[0][1] == 8.0
    assert changed(links=[there, back, there]).links[1][0] == 2.0


def test_what_a_file_does_not_limit_carries_anything():
    for data in (changed(links=None), changed(links=[])):
        assert min(*data.enter, *data.leave, *data.links[0]) > 9.0 * 3
    data = changed(links=[{"a": 7, "b": 3, "tokens_per_s": 4.0}])
    assert min(*data.enter, *data.leave) > 9.0 * 3
    assert data.links[0] == (0.0, 4.0, 0.0)


def test_types_without_machines_and_layers_not_measured_are_no_matter():
    idle = {"count": 0, "max_layers": 0, "throughput_tokens_per_s_by_layers": {"1": 1.0}}
    large = {"count": 2, "max_layers": 4, "throughput_tokens_per_s_by_layers": [9.0, 5.0]}
    case = {"num_layers": 4, "machine_types": {"idle": idle, "large": large}}
    data = read(case)
    assert (data.rates, data.machines) == (((9.0, 5.0, 0.0, 0.0),), (0, 0))
    assert published(case, data) is None


def test_a_published_placement_may_leave_machines_out():
    case = copy.deepcopy(CASE)
    case["placements"] = {"two of three": {"layers": {"7": [0, 2], "3": [2, 4]}}}
    assert published(case, read(case)) == 4.0


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"num_layers": "4"}, "num_layers: a whole number is needed"),
        ({"machine_types": None}, "machine_types: a table of types is needed"),
        (
            {"machine_types": {"small": {}}, "nodes": [{"id": 7, "type": "huge"}], "links": []},
            """machine_types.small: throughput_tokens_per_s_by_layers is needed
nodes: machine 7 is of no known type: huge""",
        ),
        ({"nodes": [], "links": []}, "nodes: there are none"),
        ({"links": [{"a": 7, "tokens_per_s": 1.0}]}, "links[0]: b is needed"),
        (
            {"links": [{"a": 7, "b": "x", "tokens_per_s": 1.0}]},
            "links[0]: no machine is called x",
        ),
    ],
)
def test_what_a_case_lacks_is_told(changes, fault):
    with pytest.raises(ValueError, match=f"^{re.escape(fault)}$"):
        changed(**changes)


def test_a_file_that_is_no_case_does_not_hide_the_others(tmp_path):
    (tmp_path / "a.json").write_text("{}")
    (tmp_path / "b.json").write_text('{"num_layers": 2, "machine_types": {"large": 3}}')
    (tmp_path / "c.json").write_text(json.dumps(CASE))
    faulty, odd, solved = lines(tmp_path, 2.0, 1)
    assert faulty == {
        "case": "a",
        "fault": "num_layers: a whole number is needed\nmachine_types: a table of types is needed",
    }
    assert odd == {"case": "b", "fault": "machine_types.large: a table is needed"}
    assert solved["objective"] == 7.0
    assert summary([faulty, odd, solved])["faulty"] == 2


@pytest.fixture
def folder():
    root = Path(__file__).parents[3] / "shared" / "data"
    found = Path(os.environ.get("APEXOPT_DATA", root)) / "placement"
    if not found.is_dir():
        pytest.skip("the public Helix cases are not here: set APEXOPT_DATA")
    return found


def test_the_public_cases_are_solved_at_or_above_the_published_and_proved(folder):
    rows = [*lines(folder, time_limit_s=60.0, workers=2)]
    assert rows
    assert all(row["proved"] for row in rows)
    assert all(row["objective"] >= row["published"] for row in rows)
