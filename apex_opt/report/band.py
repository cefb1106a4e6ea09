"""How far off a prediction may be: both ends of a figure, and what the ends rest on."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from rich.text import Text

from apex_opt.plan.result import Band, Prediction
from apex_opt.report.layout import Section, section, table
from apex_opt.report.numbers import figure, percent

NINE_IN_TEN = "9 in 10"


class Ends(NamedTuple):
    """Both ends of a figure."""

    low: float
    high: float


def ends(found: Prediction, name: str) -> Ends | None:
    """Return both ends of a figure, of a latency those of its mean; None without a band."""
    if found.band is None:
        return None
    low, high = (getattr(end, name) for end in (found.band.low, found.band.high))
    return Ends(low, high) if isinstance(low, float) else Ends(low.mean, high.mean)


def between(shown: Ends | None, words: Callable[[float], str] = figure) -> str:
    """Return both ends in words, `33 to 69`; nothing where they are not known."""
    return "" if shown is None else f"{words(shown.low)} to {words(shown.high)}"


def inside(shown: Ends | None, words: Callable[[float], str] = figure) -> str:
    """Return both ends in words to stand behind a figure, ` (33 to 69)`, or nothing."""
    return "" if shown is None else f" ({between(shown, words)})"


def grounds(band: Band) -> Section:
    """Return what a band rests on: nine in ten of what was measured lies that near."""
    grid = table("on", f"{NINE_IN_TEN} within")
    for one in band.rests_on:
        grid.add_row(Text(one.what), percent(one.half_width))
    return section("What the ranges rest on", grid)
