"""A series as one line of characters."""

from __future__ import annotations

from collections.abc import Sequence

BLOCKS = " ▁▂▃▄▅▆▇█"
ASCII = " .:-=+*%#"
"""For terminals that have no blocks: as many levels, by how much ink they have."""


def sparkline(values: Sequence[float], width: int, top: float, ramp: str = BLOCKS) -> str:
    """Return a character for each stretch of a series, by its mean.

    Args:
        values: means over stretches of equal length, none below 0.
        width: the most characters.
        top: what the last character of the ramp stands for; no value is above it.
        ramp: characters from nothing on; only 0 is drawn as the first.
    """
    joined = max(-(-len(values) // max(width, 1)), 1)
    groups = [values[i : i + joined] for i in range(0, len(values), joined)]
    means = [sum(group) / len(group) for group in groups]
    return "".join(_character(mean / top if top > 0 else 0.0, ramp) for mean in means)


def _character(share: float, ramp: str) -> str:
    if share <= 0:
        return ramp[0]
    return ramp[min(max(round(share * (len(ramp) - 1)), 1), len(ramp) - 1)]
