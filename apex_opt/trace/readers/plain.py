"""The plain format, for what people write themselves, seconds: CSV, or a JSON object a request.

{"arrival_s": 0.25, "prompt_tokens": 1200, "output_tokens": 80}

A request may also have a `session`, the `think_s` from the end of the request before it in that
session, and a `priority`.
"""

from __future__ import annotations

from dataclasses import replace

from apex_opt.trace.readers.layout import Layout
from apex_opt.trace.readers.values import ticks

PLAIN = Layout(
    name="plain",
    style="jsonl",
    arrival="arrival_s",
    clock=ticks(1_000_000_000),
    prompt="prompt_tokens",
    output="output_tokens",
    optional=("session", "think_s", "priority"),
    extras=(("session", "session"), ("think", "think_s"), ("priority", "priority")),
)

PLAIN_CSV = replace(PLAIN, style="csv")
