"""The driver of the speed benchmark keeps to its output format."""

from __future__ import annotations

import json

import pytest

from benchmarks import speed


def test_the_last_line_sums_up_the_first_case(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(speed, "REQUESTS", 2000)
    speed.main()
    out, err = capsys.readouterr()
    *rows, summary = map(json.loads, out.splitlines())
    cases = ["first call", "one replica", "async scheduling", "four stages", "64 replicas"]
    assert [row["case"] for row in rows] == cases
    assert all(row["served"] == row["requests"] for row in rows)
    assert summary == {key: rows[1][key] for key in ("requests_per_s", "steps_per_s")}
    assert "one replica" in err
