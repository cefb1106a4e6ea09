"""BurstGPT, seconds; a request that failed has a response of 0 tokens.

Source: HPMLL/BurstGPT, README.md. Older files lack the session and the elapsed time.
"""

from __future__ import annotations

from apex_opt.trace.readers.layout import Layout
from apex_opt.trace.readers.values import ticks

BURSTGPT = Layout(
    name="burstgpt",
    style="csv",
    arrival="Timestamp",
    clock=ticks(1_000_000_000),
    prompt="Request tokens",
    output="Response tokens",
    others=("Model", "Total tokens", "Log Type"),
    optional=("Session ID", "Elapsed time"),
    extras=(("session", "Session ID"), ("elapsed", "Elapsed time")),
)
