"""Traces for tests, from columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from apex_opt.trace.radix import tree
from apex_opt.trace.trace import Trace


def columns(at_s: Sequence[float], prompt: Sequence[int] = (), output: Sequence[int] = ()) -> Trace:
    """Return a trace; lengths that are not given are 10 and 2."""
    n = len(at_s)
    return Trace(
        np.rint(np.array(at_s) * 1e9).astype(np.int64),
        np.array(prompt or [10] * n, np.int64),
        np.array(output or [2] * n, np.int64),
        "plain",
        Path("t.jsonl"),
    )


def hashed(rows: Sequence[Sequence[int]], block: int, short: Sequence[int] = ()) -> Trace:
    """Return a trace, a request a second, whose prompts have these blocks.

    Args:
        rows: ids of the blocks of each prompt.
        block: tokens of a block.
        short: by how many tokens the last block of each prompt is short.
    """
    missing = short or [0] * len(rows)
    prompt = [max(len(row) * block - less, 1) for row, less in zip(rows, missing, strict=True)]
    ids = np.array([h for row in rows for h in row], np.int64)
    starts = np.cumsum([0, *map(len, rows)])
    prefix, nodes = tree(ids, starts, np.array(prompt, np.int64), block)
    return replace(columns(range(len(rows)), prompt), prefix=prefix, prefixes=nodes)
