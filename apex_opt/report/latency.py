"""Latencies of all requests: mean and percentiles."""

from __future__ import annotations

from apex_opt.plan.result import Prediction
from apex_opt.report.layout import Section, section, table
from apex_opt.report.numbers import figure

ROWS = {
    "TTFT": "ttft_ms",
    "TPOT": "tpot_ms",
    "ITL": "itl_ms",
    "E2E": "e2e_ms",
    "queue": "queue_ms",
}
COLUMNS = ("mean", "p50", "p90", "p95", "p99")


def latency(found: Prediction) -> Section:
    """Return the table of latencies, milliseconds."""
    grid = table("ms", *COLUMNS)
    for name, field in ROWS.items():
        statistics = getattr(found, field)
        grid.add_row(name, *(figure(getattr(statistics, column)) for column in COLUMNS))
    return section("Latency", grid)
