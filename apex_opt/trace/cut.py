"""A part of a trace, its time stretched."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from apex_opt.errors import CallError
from apex_opt.sim.steps import Float64, Int64
from apex_opt.trace.arrivals import LATEST_NS, NS
from apex_opt.trace.trace import Trace


@dataclass(frozen=True)
class Part:
    """Which requests of a trace, and how fast they come; by default all, as they came.

    Attributes:
        from_s: seconds from the first request; earlier ones are left out.
        until_s: seconds from the first request; those at this time or later are left out.
        requests: how many of what is left, from its beginning.
        time_scale: times of arrival are multiplied by this, as in a spec.
    """

    from_s: float = 0.0
    until_s: float | None = None
    requests: int | None = None
    time_scale: float = 1.0


def cut(trace: Trace, part: Part) -> Trace:
    """Return a part of `trace`; its time begins at its own first request.

    Raises:
        CallError: there is no such part, or it would go on for more than ten years.
    """
    if part.until_s is not None and not part.from_s < part.until_s:
        raise CallError(f"no time is from {part.from_s:,g} s until {part.until_s:,g} s")
    if not trace.timed and (part.from_s > 0 or part.until_s is not None or part.time_scale != 1):
        raise CallError("the trace does not say when requests came")
    at = trace.arrival_ns
    first = _before(at, part.from_s)
    last = len(at) if part.until_s is None else _before(at, part.until_s)
    if first == last:
        span = float(at[-1]) / NS
        raise CallError(f"{_when(part)} there is no request; the trace goes on for {span:,.0f} s")
    n = last - first if part.requests is None else part.requests
    if n > last - first:
        raise CallError(f"{n:,} requests are asked for, there are {last - first:,}")
    if not part.time_scale > 0:
        raise CallError(f"the time scale must be above 0, got {part.time_scale:g}")
    kept = slice(first, first + n)
    try:
        times = stretched(at[kept] - at[first], part.time_scale)
    except OverflowError as why:
        raise CallError(str(why)) from None
    return replace(trace.take(kept), arrival_ns=times)


def _before(at: Int64, time_s: float) -> int:
    """Return how many requests come before a time."""
    return int(np.searchsorted(at, np.rint(time_s * NS), side="left"))


def _when(part: Part) -> str:
    until = "on" if part.until_s is None else f"until {part.until_s:,g} s"
    return f"from {part.from_s:,g} s {until}"


def stretched(at: Int64, factor: float) -> Int64:
    """Return times multiplied by a factor above 0, to the nanosecond.

    Raises:
        OverflowError: the last one would be more than ten years on.
    """
    if factor == 1:
        return at
    times: Float64 = np.rint(at * float(factor))
    if not times[-1] <= LATEST_NS:
        why = f"stretched {factor:g} times, the trace goes on for more than ten years"
        raise OverflowError(why)
    return times.astype(np.int64)
