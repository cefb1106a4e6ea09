"""The time line of a run: what a replica did, in rows of equal time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from apex_opt.sim.state import TRACKS
from apex_opt.sim.steps import Float64

TICK_NS = 1_000_000
"""Width of the rows at the start; it doubles whenever a run outlasts them."""


@dataclass(frozen=True)
class Line:
    """Sums over the steps that start in each row, in order of `state.TRACKS`.

    Attributes:
        tick_ns: width of a row.
        tracks: (rows, TRACKS) float64: steps, their time (ns), prompt tokens, tokens sampled,
            joules above idle; and summed over the time of the steps (ns): requests that wait,
            sequences that run, blocks in use.
    """

    tick_ns: int
    tracks: Float64

    def coarser(self, tick_ns: int) -> Line:
        """Return the line with rows of `tick_ns`, a power of two times as wide."""
        at = np.arange(len(self.tracks)) // (tick_ns // self.tick_ns)
        tracks = np.zeros_like(self.tracks)
        np.add.at(tracks, at, self.tracks)
        return Line(tick_ns, tracks)


def no_line() -> Line:
    """Return a time line without rows."""
    return Line(0, np.empty((0, TRACKS)))


def by_member(lines: Sequence[Line], counts: Sequence[int]) -> tuple[Line, ...]:
    """Return the time lines of so many replicas each, all in rows of the widest.

    Args:
        lines: of the replicas, in order; all have as many rows.
        counts: replicas of each member.
    """
    tick = max(line.tick_ns for line in lines)
    wide = iter([line.coarser(tick) if tick else line for line in lines])
    return tuple(together([next(wide) for _ in range(count)]) for count in counts)


def together(lines: Sequence[Line]) -> Line:
    """Return the time line of several replicas; all have as many rows."""
    tick = max(line.tick_ns for line in lines)
    if tick == 0:
        return no_line()
    return Line(tick, np.sum([line.coarser(tick).tracks for line in lines], axis=0))
