"""The plain format, for what people write themselves: a JSON object a line, seconds.

{"arrival_s": 0.25, "prompt_tokens": 1200, "output_tokens": 80}
"""

from __future__ import annotations

from apex_opt.trace.readers.layout import Layout
from apex_opt.trace.readers.values import ticks

PLAIN = Layout(
    name="plain",
    style="jsonl",
    arrival="arrival_s",
    clock=ticks(1_000_000_000),
    prompt="prompt_tokens",
    output="output_tokens",
)
