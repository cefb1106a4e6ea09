"""Traces of APEX+, nanoseconds.

Source: microsoft/apex_plus, trace files; the simulator there divides `StartTimeOffset` by 1,000 and
counts in microseconds.
"""

from __future__ import annotations

from apex_opt.trace.readers.layout import Layout
from apex_opt.trace.readers.values import ticks

APEX = Layout(
    name="apex",
    style="jsonl",
    arrival="StartTimeOffset",
    clock=ticks(1),
    prompt="ContextTokens",
    output="GeneratedTokens",
)
