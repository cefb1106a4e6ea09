"""Traces for tests, from columns."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

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
