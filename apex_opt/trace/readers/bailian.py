"""Bailian (Qwen) traces: the keys of Mooncake and more, but seconds and blocks of 16 tokens.

Source: the loader of ai-dynamo/aiperf 0.13.0 for `bailian_trace`.
"""

from __future__ import annotations

from apex_opt.trace.readers.layout import Layout
from apex_opt.trace.readers.values import ticks

BAILIAN = Layout(
    name="bailian",
    style="jsonl",
    arrival="timestamp",
    clock=ticks(1_000_000_000),
    prompt="input_length",
    output="output_length",
    others=("hash_ids", "chat_id", "parent_chat_id"),
    extras=(("hashes", "hash_ids"), ("chat", "chat_id"), ("parent", "parent_chat_id")),
    block_tokens=16,
)
