"""Latencies of all requests: mean and percentiles."""

from __future__ import annotations

from apex_opt.plan.result import End, Prediction
from apex_opt.report.band import NINE_IN_TEN, between, ends
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
    """Return the table of latencies, milliseconds, with both ends of the means where known."""
    grid = table("ms", *COLUMNS, *([f"mean, {NINE_IN_TEN}"] if found.band else []))
    for name, field in ROWS.items():
        statistics = getattr(found, field)
        cells = [figure(getattr(statistics, column)) for column in COLUMNS]
        known = [between(ends(found, field))] if found.band and field in End.model_fields else []
        grid.add_row(name, *cells, *known)
    return section("Latency", grid)
