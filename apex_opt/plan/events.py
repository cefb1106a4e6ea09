"""What the planner says while it works, to whoever listens."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Event:
    """How far one phase of the search is.

    Attributes:
        phase: what is being done, a few words for people: `simulating plans`.
        done: steps of the phase that are done.
        total: steps of the phase; None where nobody knows.
        best: the best plan so far, in a few words; None while there is none.
    """

    phase: str
    done: int = 0
    total: int | None = None
    best: str | None = None


Listen = Callable[[Event], None]
"""Is told of each event, by the thread that plans; it should return at once."""
