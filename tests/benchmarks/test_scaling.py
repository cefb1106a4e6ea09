import json

from typer import Typer
from typer.testing import CliRunner

from benchmarks import scaling
from benchmarks.scaling import buy, main, place


def test_placements_are_proved():
    row = place(64, 2, time_limit_s=30.0)
    assert (row["case"], row["devices"], row["types"]) == ("placement", 64, 2)
    assert row["objective"] == row["bound"]
    assert (row["gap"], row["proved"]) == (0.0, True)


def test_fleets_are_proved():
    row = buy(64, 1, time_limit_s=30.0)
    assert row["objective"] == row["bound"]
    assert row["proved"] is True


def test_a_size_is_the_same_each_time():
    assert scaling.placement_case(64, 2) == scaling.placement_case(64, 2)
    assert scaling.fleet_case(64, 2) == scaling.fleet_case(64, 2)


def test_the_command_prints_a_line_a_size_and_a_summary(monkeypatch):
    monkeypatch.setattr(scaling, "SIZES", ((64, 1),))
    app = Typer()
    app.command()(main)

    result = CliRunner().invoke(app, [])

    rows = [json.loads(line) for line in result.stdout.splitlines()]
    assert [row.get("case") for row in rows] == ["placement", "fleet", None]
    assert rows[-1]["proved"] == rows[-1]["cases"] == 2
