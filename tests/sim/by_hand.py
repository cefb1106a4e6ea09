"""Requests written down by hand, on 4 tokens a block, 10 ns to decode, 100 with prompts."""

from __future__ import annotations

from typing import Any

import numpy as np

from apex_opt.sim.load import Load, Prefixes
from tests.sim.twin import Twin


def column(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


def load(*requests: tuple[int, int, int], **more: Any) -> Load:
    """Requests as (arrival, prompt, output)."""
    return Load(*np.array(requests, np.int64).T.copy(), **more)


def alike(*requests: tuple[int, int, int], shared: int) -> Load:
    """The same, their first `shared` tokens in common."""
    tree = Prefixes(column(-1), column(shared))
    return load(*requests, prefix=column(*[0] * len(requests)), prefixes=tree)


def session(*requests: tuple[int, int, int], think: int = 0, **more: Any) -> Load:
    """Turns of one session."""
    n = len(requests)
    after, think_ns = column(*range(-1, n - 1)), column(*[think] * n)
    return load(*requests, after=after, think_ns=think_ns, **more)


def steps_of(twin: Twin) -> list[list[tuple[int, int]]]:
    """Return of each batch (request, tokens)."""
    return [[(r.index, n) for r, n in batch.parts] for batch in twin.flown]
