"""A spec's `[workload]` that plays a trace, or draws requests like those of one."""

from __future__ import annotations

import numpy as np

from apex_opt.sim.steps import Int64
from apex_opt.spec.checks_workload import LARGEST_TAIL
from apex_opt.spec.workload import Distribution, Empirical, Fixed, Lognormal, Workload
from apex_opt.trace.arrivals import NS
from apex_opt.trace.cut import Part
from apex_opt.trace.trace import Trace

EVEN_CV = 0.01
"""Gaps that vary less than this are meant to be equal: the rest is rounding of the file."""

GROUPS = 20
"""Lengths that no lognormal can stand for are drawn from the means of so many equal groups."""

LONGEST_NAME = 200
"""Characters of a file's name in a spec."""


def as_trace(trace: Trace, part: Part) -> Workload | None:
    """Return the table that plays `trace`, the given part of its file.

    None where a spec cannot say it: the file has no times, or its name is too long or does not
    print.
    """
    file = str(trace.path)
    if not trace.timed or len(file) > LONGEST_NAME or not file.isprintable():
        return None
    whole = Workload(arrival="trace", file=file, format=trace.format)
    changes: dict[str, object] = dict(trace.options)
    if part.from_s > 0:
        changes["start_s"] = part.from_s
    if part.until_s is not None or part.requests is not None:
        changes["requests"] = len(trace)
    if part.time_scale != 1:
        changes["time_scale"] = part.time_scale
    return whole.model_copy(update=changes)


def as_synthetic(trace: Trace) -> Workload | None:
    """Return a table that draws requests like those of `trace`; None where all come at once.

    Arrivals have its rate, and the variation of its gaps; lengths have its mean, 99th percentile
    and longest. What is not kept: how the rate changes over time, and how output goes with prompt.
    """
    span_ns = int(trace.arrival_ns[-1])
    if not span_ns:
        return None
    gaps = np.diff(trace.arrival_ns)
    cv = float(gaps.std() / gaps.mean())
    arrival: dict[str, object] = {"arrival": "constant"}
    if cv >= EVEN_CV:
        arrival = {"arrival": "gamma", "burstiness": _rounded(cv**-2)}
    return Workload.model_validate(
        {
            **arrival,
            "rate_rps": _rounded(len(gaps) * NS / span_ns),
            "requests": len(trace),
            "prompt_tokens": lengths(trace.prompt_tokens),
            "output_tokens": lengths(trace.output_tokens),
        }
    )


def lengths(tokens: Int64) -> Distribution:
    """Return a distribution with the mean and the tail of `tokens`.

    Args:
        tokens: (n,) int64, from 1; n >= 1.

    Returns:
        Lognormal by mean and p99, cut at the longest; fixed where all are equal; groups of equal
        size where the mean and p99 are those of no lognormal.
    """
    longest = int(tokens.max())
    if longest == int(tokens.min()):
        return Fixed(distribution="fixed", value=longest)
    mean, p99 = _rounded(tokens.mean()), _rounded(np.percentile(tokens, 99))
    if mean < p99 <= LARGEST_TAIL * mean:
        return Lognormal(distribution="lognormal", mean=mean, p99=p99, maximum=longest)
    groups = np.array_split(np.sort(tokens), min(GROUPS, len(tokens)))
    values = tuple(round(group.mean()) for group in groups)
    return Empirical(distribution="empirical", values=values)


def _rounded(value: float) -> float:
    """Return a number with six digits: more would be noise to read and to type."""
    return float(f"{value:.6g}")
