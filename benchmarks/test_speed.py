"""The driver of the speed benchmark keeps to its output format."""

from __future__ import annotations

import json

import pytest

from benchmarks import speed

CASES = [
    "first call",
    "one replica",
    "async scheduling",
    "four stages",
    "prefix caching",
    "sessions",
    "sglang rules",
    "64 replicas",
    "first call, joint",
    "disaggregation",
    "least outstanding",
]


def test_the_last_line_sums_up_the_first_case(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(speed, "REQUESTS", 2000)
    monkeypatch.setattr(speed, "FEW", 1000)
    speed.main()
    out, err = capsys.readouterr()
    *rows, summary = map(json.loads, out.splitlines())
    assert [row["case"] for row in rows] == CASES
    assert all(row["served"] == row["requests"] for row in rows)
    assert summary == {key: rows[1][key] for key in ("requests_per_s", "steps_per_s")}
    assert "one replica" in err
