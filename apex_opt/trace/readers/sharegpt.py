"""Conversations of ShareGPT: text without times; tokens are estimated by its characters.

A JSON list of {"id", "conversations": [{"from": "human" or "gpt", "value": "..."}]}. Every reply
is a request; its prompt is all that was said before it. Where a message has `tokens`, they count
instead of its characters.

Source: the files that `vllm bench serve --dataset-name sharegpt` reads, vllm/benchmarks/datasets.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from apex_opt.trace.readers.layout import Cells, Layout, Record
from apex_opt.trace.readers.values import CellError, ticks

REPLIES = {"gpt", "assistant", "chatgpt", "bing", "bard"}


def _split(record: Record, characters_per_token: float) -> Iterator[Cells]:
    """Yield a request for each reply; what a model says unasked is only history."""
    session, said, asked = object(), 0, False
    messages = record["conversations"]
    if not isinstance(messages, list):
        raise CellError("conversations: must be a list of messages")
    for message in messages:
        size = _tokens(message, characters_per_token)
        if message.get("from") not in REPLIES:
            asked = True
        elif asked:
            yield None, said, size, session
        said += size


def _tokens(message: object, characters_per_token: float) -> int:
    """Return the tokens of a message."""
    if not isinstance(message, dict) or not isinstance(message.get("value", ""), str):
        raise CellError('conversations: a message must be { "from": "human", "value": "..." }')
    counted = message.get("tokens")
    if isinstance(counted, int) and not isinstance(counted, bool) and counted >= 0:
        return counted
    return math.ceil(len(message.get("value", "")) / characters_per_token)


SHAREGPT = Layout(
    name="sharegpt",
    style="nested",
    arrival="time",
    clock=ticks(1),
    prompt="conversations",
    output="conversations",
    others=("conversations",),
    extras=(("session", "id"),),
    untimed=True,
    split=_split,
    note="tokens are estimated, where they are not given: {:g} characters each",
)
