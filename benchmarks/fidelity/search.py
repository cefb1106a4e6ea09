"""Coordinate descent: one number after the other, each by a step up or down, while it helps."""

from __future__ import annotations

from collections.abc import Callable, Mapping

Point = dict[str, float]

FACTORS = (2.0, 1.3, 1.1, 1.03)
"""Steps, from wide to narrow: a number is multiplied or divided by one."""

LEAST_GAIN = 1e-3
"""Steps that gain less of the loss, relatively, are not taken."""


def descend(
    loss: Callable[[Point], float], start: Mapping[str, float], units: Mapping[str, float]
) -> Point:
    """Return the point where no step of any coordinate lowers the loss.

    Args:
        loss: of a point, not negative.
        start: where the search begins.
        units: the coordinates to move, each with what a zero is lifted to; numbers that sink under
            a sixteenth of it are set to zero.
    """
    best, least = dict(start), loss(dict(start))
    for factor in FACTORS:
        moved = True
        while moved:
            moved = False
            for key, unit in units.items():
                for trial in _steps(best[key], factor, unit):
                    point = best | {key: trial}
                    found = loss(point)
                    if found < least * (1.0 - LEAST_GAIN):
                        best, least, moved = point, found, True
                        break
    return best


def _steps(value: float, factor: float, unit: float) -> tuple[float, ...]:
    if value == 0.0:
        return (unit * (factor - 1.0),)
    less = value / factor
    return value * factor, less if less > unit / 16 else 0.0
