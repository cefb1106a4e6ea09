"""The highest load that holds: up a geometric grid to the first that does not, then bisection.

Whether a load holds is not monotone in it: percentiles and shares of few requests go up and down,
and a batch may be luckier at a higher rate. So the question is put as a planner would: from a load
so low that requests hardly meet, how far up does everything hold? The answer is the highest load
found below the first failure on the grid; what may hold again above a failure does not count.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

Missed = Callable[[float], str | None]
"""Return what is missed at a load, None where everything holds."""
Between = Callable[[float, float], float | None]
"""Return the load to try between two, None where they are near enough."""


@dataclass(frozen=True)
class Highest:
    """The highest load that holds.

    Attributes:
        value: it; 0: none does.
        fails_at: the lowest load tried above it, which does not hold; None: the whole grid holds.
        missed: what is missed there; empty where nothing is.
        runs: loads tried.
    """

    value: float
    fails_at: float | None
    missed: str
    runs: int


def highest(missed: Missed, grid: Iterable[float], between: Between) -> Highest:
    """Return the highest load that holds below the first of `grid` that does not.

    Args:
        missed: plays a load.
        grid: loads, ascending.
        between: where to look between one that holds and one that does not.
    """
    good, runs = 0.0, 0
    for load in grid:
        runs += 1
        why = missed(load)
        if why is None:
            good = load
            continue
        bad = load
        while good and (middle := between(good, bad)) is not None:
            runs += 1
            found = missed(middle)
            if found is None:
                good = middle
            else:
                bad, why = middle, found
        return Highest(good, bad, why, runs)
    return Highest(good, None, "", runs)
