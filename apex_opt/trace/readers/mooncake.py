"""Mooncake traces, milliseconds; `hash_ids` name blocks of 512 tokens that prompts share.

Source: kvcache-ai/Mooncake, FAST25-release/traces.
"""

from __future__ import annotations

from apex_opt.trace.readers.layout import Layout
from apex_opt.trace.readers.values import ticks

MOONCAKE = Layout(
    name="mooncake",
    style="jsonl",
    arrival="timestamp",
    clock=ticks(1_000_000),
    prompt="input_length",
    output="output_length",
    others=("hash_ids",),
    extras=(("hashes", "hash_ids"),),
    block_tokens=512,
)
