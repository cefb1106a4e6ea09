import json

import pytest

from benchmarks.lines import geometric_mean, print_lines


def test_rows_are_printed_and_written_with_their_summary(tmp_path, capsys):
    out = tmp_path / "out.jsonl"

    print_lines(iter([{"a": 1}, {"a": 2}]), lambda rows: {"sum": sum(r["a"] for r in rows)}, out)

    printed = capsys.readouterr().out
    assert [json.loads(line) for line in printed.splitlines()] == [{"a": 1}, {"a": 2}, {"sum": 3}]
    assert out.read_text() == printed


def test_a_geometric_mean_multiplies():
    assert geometric_mean([2.0, 8.0]) == pytest.approx(4.0)


def test_of_nothing_there_is_no_mean():
    assert geometric_mean([]) is None
