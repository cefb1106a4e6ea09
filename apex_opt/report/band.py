"""How far off a prediction may be: both ends of a figure, and what the ends rest on."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from rich.text import Text

from apex_opt.plan.result import Band, End, Prediction
from apex_opt.report.layout import Section, section, table
from apex_opt.report.numbers import figure, percent

NINE_IN_TEN = "9 in 10"

PREDICTED = {
    "latency": "e2e_mean",
    "energy": "energy_j_per_request",
    "power": "power_mean_w",
    "goodput": "goodput_rps",
    "throughput": "output_tokens_per_s",
}
"""The figure of a prediction that an objective follows; others are counted."""


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


def value_ends(found: Prediction, name: str, value: float) -> Ends | None:
    """Return both ends of a value: of an objective, or of a statistic as `ttft_p99`.

    An objective that is no figure itself, as a rate over the span of arrivals, has the ends of the
    figure that it follows, in proportion. None: it is counted, or there is no band.
    """
    if found.band is None:
        return None
    sought = PREDICTED.get(name, name)
    middle, low, high = (_figure(one, sought) for one in (found, found.band.low, found.band.high))
    if not middle or low is None or high is None:
        return None
    return Ends(value * low / middle, value * high / middle)


def _figure(found: Prediction | End, name: str) -> float | None:
    """Return a figure, or a statistic of a latency; None: there is none of this name."""
    metric, _, statistic = name.rpartition("_")
    latencies = getattr(found, f"{metric}_ms", None)
    figure = getattr(latencies, statistic, None) if latencies else getattr(found, name, None)
    return figure if isinstance(figure, float) else None


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
