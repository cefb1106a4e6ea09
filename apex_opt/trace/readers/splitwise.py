"""Traces of SplitwiseSim, seconds.

Source: Mutinifni/splitwise-sim, generate_trace.py.
"""

from __future__ import annotations

from apex_opt.trace.readers.layout import Layout
from apex_opt.trace.readers.values import ticks

SPLITWISE = Layout(
    name="splitwise",
    style="csv",
    arrival="arrival_timestamp",
    clock=ticks(1_000_000_000),
    prompt="prompt_size",
    output="token_size",
    others=("request_id", "request_type", "application_id", "batch_size"),
)
