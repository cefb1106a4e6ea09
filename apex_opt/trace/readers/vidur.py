"""Traces of the Vidur simulator, seconds; some have lengths alone.

Source: microsoft/vidur, data/processed_traces.
"""

from __future__ import annotations

from dataclasses import replace

from apex_opt.trace.readers.layout import Layout
from apex_opt.trace.readers.values import ticks

VIDUR = Layout(
    name="vidur",
    style="csv",
    arrival="arrived_at",
    clock=ticks(1_000_000_000),
    prompt="num_prefill_tokens",
    output="num_decode_tokens",
    optional=("num_total_tokens", "pd_ratio"),
)

VIDUR_LENGTHS = replace(VIDUR, untimed=True)
