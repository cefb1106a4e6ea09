"""Lines under a table of costs by batch size: no step is cheaper than any of them says."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float64]


@dataclass(frozen=True)
class Line:
    """A line under a table: table[n] >= base + slope n for every n >= 1; base >= 0."""

    base: float
    slope: float


def lines(table: Float) -> tuple[Line, ...]:
    """Return a few lines under `table` (index 0 is the empty batch, not looked at).

    Slopes: flat, the best ratio of time to tokens, and the chords from one token to batches in
    between.
    """
    sizes = np.arange(1, len(table), dtype=np.float64)
    body = table[1:]
    steepest = float(np.min(body / sizes))  # a line that is steeper starts below zero
    slopes = {0.0, steepest}
    for n in (16, 64, 256, 1024, len(body)):
        if 1 < n <= len(body):
            slopes.add(min(max(float((body[n - 1] - body[0]) / (n - 1)), 0.0), steepest))
    left = np.empty_like(body)

    def base(slope: float) -> float:
        np.subtract(body, np.multiply(sizes, slope, out=left), out=left)
        return max(float(left.min()), 0.0)

    return tuple(Line(base(slope), slope) for slope in sorted(slopes))
