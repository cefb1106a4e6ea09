"""How many measured runs lie within the band that is stated for their prediction: nine in ten."""

from __future__ import annotations

import math
from collections.abc import Iterable
from statistics import fmean, quantiles

from apex_opt.plan.band import banded
from apex_opt.plan.grounds import widths
from apex_opt.plan.predict import measure
from apex_opt.sim.member import FleetLog
from benchmarks.fidelity.case import METRICS
from benchmarks.fidelity.setup import Run

Factors = dict[str, tuple[float, float]]
"""Low and high end of the mean of each metric, over its prediction."""


def factors(run: Run, log: FleetLog) -> Factors:
    """Return the band of a prepared case that was simulated; empty: it has none.

    Where one of several ranks stands for all, it is as wide as without queues.
    """
    if run.alike:
        known = widths(run.part, log.members[0])
        return {
            metric: (1 / (1 + width), 1 + width)
            for metric, width in (("ttft_ms", known.ttft), ("tpot_ms", known.tpot))
        }
    played = measure(run.spec, run.load, [run.part], log)
    found = banded(run.spec, run.load, played).prediction
    if found.band is None:
        return {}
    middle = {metric: getattr(found, metric).mean for metric in METRICS}
    low, high = found.band.low, found.band.high
    return {
        metric: (getattr(low, metric).mean / mean, getattr(high, metric).mean / mean)
        for metric, mean in middle.items()
        if mean > 0
    }


def coverage(inside: Iterable[bool | None]) -> float | None:
    """Return the share of measured figures within their bands, in 0..1; None: there is none."""
    known = [one for one in inside if one is not None]
    return fmean(known) if known else None


def half_width(errors: Iterable[float | None]) -> float | None:
    """Return the half-width in which nine in ten errors lie; None where there are under ten.

    Args:
        errors: predicted less measured, percent of measured.
    """
    known = [abs(math.log1p(error / 100)) for error in errors if error is not None]
    return math.expm1(quantiles(known, n=10, method="inclusive")[-1]) if len(known) > 9 else None
