from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from apex_opt.report.sparkline import ASCII, BLOCKS
from apex_opt.report.trace import bars, render
from apex_opt.sim.load import Prefixes
from apex_opt.trace.describe import describe
from apex_opt.trace.description import Description, Timeline
from tests.trace.traces import columns

BUSY_THEN_QUIET = columns(
    [*(i / 4 for i in range(240)), *(60 + i for i in range(61))],
    [100 + i for i in range(301)],
    [1 if i % 3 == 0 else i for i in range(301)],
)


def printed(description: Description, width: int = 80, encoding: str = "utf-8") -> list[str]:
    buffer = io.BytesIO()
    file: Any = io.TextIOWrapper(buffer, encoding=encoding)
    render(description, Console(file=file, width=width, color_system=None, highlight=False))
    file.flush()
    return buffer.getvalue().decode(encoding).splitlines()


def test_a_trace_is_printed_with_its_shape_and_what_to_type() -> None:
    trace = replace(BUSY_THEN_QUIET, notes=("`hash_ids` are not used",))
    assert printed(describe(trace)) == [
        "t.jsonl",
        "301 requests over 120 s (2.50/s), format plain",
        "",
        "Rate over time",
        f"  {'█' * 30}{'▂' * 29}▃",
        f"  0{'120 s':>59}",
        "  a column is 2.00 s, the highest 4.00 requests/s",
        "",
        "Arrivals",
        "  mean rate       2.50 requests/s",
        "  peak over 1 s   4.00 requests/s",
        "  peak over 10 s  4.00 requests/s",
        "  peak over 60 s  4.00 requests/s",
        "  burstiness      1.78 (Poisson is 1, burstier is less); variation of gaps 0.75",
        "",
        "Lengths",
        "  tokens   mean    p50   p90   p95   p99   max",
        "  ────────────────────────────────────────────",
        "  prompt    250    250   370   385   397   400",
        "  output    100   74.0   254   277   295   299",
        "  total     350    326   608   654   690   698",
        "",
        "  one token    34 % of the outputs",
        "  correlation  0.58, of prompt and output",
        "",
        "Notes",
        "  `hash_ids` are not used",
        "",
        "To play it from a spec in this folder",
        "  [workload]",
        '  arrival = "trace"',
        '  file = "t.jsonl"',
        '  format = "plain"',
        "",
        "To draw requests like these, at one mean rate",
        "  [workload]",
        '  arrival = "gamma"',
        "  rate_rps = 2.5",
        "  burstiness = 1.77778",
        "  requests = 301",
        "  [workload.prompt_tokens]",
        '  distribution = "lognormal"',
        "  mean = 250",
        "  p99 = 397",
        "  maximum = 400",
        "  [workload.output_tokens]",
        '  distribution = "lognormal"',
        "  mean = 100.003",
        "  p99 = 295",
        "  maximum = 299",
    ]


def test_requests_that_come_at_once_are_printed_without_a_rate() -> None:
    lines = printed(describe(columns([0, 0])))
    assert lines[1:5] == [
        "2 requests all at once, format plain",
        "",
        "Arrivals",
        "  mean rate  none: all requests come at once",
    ]
    assert lines[-5:] == [
        "To play it from a spec in this folder",
        "  [workload]",
        '  arrival = "trace"',
        '  file = "t.jsonl"',
        '  format = "plain"',
    ]


def test_even_gaps_are_printed_as_such() -> None:
    assert "  burstiness     none: all gaps are equal" in printed(describe(columns([0, 1, 2])))


def test_a_correlation_of_almost_nothing_has_no_sign() -> None:
    trace = columns([0, 1, 2, 3], [1000, 1000, 2000, 2001], [5, 7, 7, 5])
    correlation = describe(trace).correlation
    assert correlation is not None
    assert -0.005 < correlation < 0
    assert "  correlation  0.00, of prompt and output" in printed(describe(trace))


def test_a_file_that_no_spec_can_name_is_to_be_written_first() -> None:
    lines = printed(describe(replace(columns([0, 1, 3]), path=Path("x" * 201))), width=100)
    at = lines.index("To play it from a spec")
    assert lines[at + 1] == (
        "  No spec can name this file: write it first, with --to plain -o FILE"
    )


def test_what_prompts_share_and_sessions_are_printed() -> None:
    trace = replace(
        columns([0, 1, 3], [10, 20, 40]),
        prefix=np.array([0, 0, -1]),
        prefixes=Prefixes(np.array([-1]), np.array([7])),
        after=np.array([-1, -1, 1]),
        think_ns=np.array([0, 0, 2 * 10**9]),
    )
    lines = printed(describe(trace))
    at = lines.index("Shared beginnings")
    # 7 of the second prompt and 20 + 2 of the third: 29 of 70.
    assert lines[at + 1 : at + 8] == [
        "  beginnings    1, in 67 % of the prompts",
        "  prefix cache  an unlimited one saves 41 % of the prompt tokens",
        "",
        "Sessions",
        "  sessions    2",
        "  turns       1.50 mean, 2 at most",
        "  think time  2.00 s mean",
    ]


def test_a_file_without_times_is_for_lengths_alone() -> None:
    lines = printed(describe(replace(columns([0, 0]), timed=False)))
    assert lines[1] == "2 requests without times, format plain"
    assert "Arrivals" not in lines
    assert lines[-3:] == [
        "To draw lengths from it in a spec",
        "  [workload]",
        '  lengths_from = "t.jsonl"',
    ]


@pytest.mark.parametrize("width", [40, 80, 120, 300])
def test_lines_fit_the_terminal(width: int) -> None:
    lines = printed(describe(BUSY_THEN_QUIET), width)
    # The table of six columns and the tables to type need their 48 characters.
    assert max(map(len, lines)) <= max(width, 48)


def test_a_terminal_without_blocks_gets_ascii() -> None:
    lines = printed(describe(BUSY_THEN_QUIET), encoding="ascii")
    assert lines[4] == f"  {'#' * 30}{':' * 29}-"


def test_both_ramps_have_as_many_levels() -> None:
    assert len(set(ASCII)) == len(set(BLOCKS)) == 9


@given(
    counts=st.lists(st.integers(0, 10**8), min_size=240, max_size=240).filter(any),
    width=st.integers(1, 400),
)
@settings(max_examples=40, deadline=None)
def test_a_column_is_blank_only_where_no_request_comes(counts: list[int], width: int) -> None:
    line, joined = bars(Timeline(bin_s=1.0, requests=tuple(counts)), width)
    assert len(line) * joined == 240
    assert len(line) <= width
    for i, character in enumerate(line):
        assert (character == " ") == (sum(counts[i * joined : (i + 1) * joined]) == 0)
    assert "█" in line
