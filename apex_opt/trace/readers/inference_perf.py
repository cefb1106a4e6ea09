"""Requests of inference-perf, seconds: `per_request_lifecycle_metrics.json`.

A JSON list of {"start_time", "end_time", "request", "response", "info": {"input_tokens",
"output_tokens", ...}, "error"}, in the order in which requests ended.

Source: kubernetes-sigs/inference-perf, report `request_lifecycle.per_request`.
"""

from __future__ import annotations

from collections.abc import Iterator

from apex_opt.trace.readers.layout import Cells, Layout, Record
from apex_opt.trace.readers.values import CellError, ticks


def _split(record: Record, _: float) -> Iterator[Cells]:
    """Yield the one request of a record; one that failed has no output."""
    info = record["info"] or {}
    if not isinstance(info, dict):
        raise CellError("info: must be an object")
    output = 0 if record.get("error") else info.get("output_tokens")
    yield record["start_time"], info.get("input_tokens"), output


INFERENCE_PERF = Layout(
    name="inference-perf",
    style="nested",
    arrival="start_time",
    clock=ticks(1_000_000_000),
    prompt="info.input_tokens",
    output="info.output_tokens",
    others=("start_time", "end_time", "info"),
    unordered=True,
    split=_split,
)
