"""Traces of LLMServingSim, nanoseconds. Its agentic traces have other keys and are not read.

Source: casys-kaist/LLMServingSim, dataset folder.
"""

from __future__ import annotations

from apex_opt.trace.readers.layout import Layout
from apex_opt.trace.readers.values import ticks

LLMSERVINGSIM = Layout(
    name="llmservingsim",
    style="jsonl",
    arrival="arrival_time_ns",
    clock=ticks(1),
    prompt="input_toks",
    output="output_toks",
)
