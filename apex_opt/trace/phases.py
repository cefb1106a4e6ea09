"""Arrivals whose mean rate changes from phase to phase: a Poisson process.

The number of requests that are expected until a time, L(t), is a clock by which requests arrive at
rate 1; so their times are those of a Poisson process of rate 1, turned back by L.

Source: Çinlar, Introduction to Stochastic Processes (1975), chapter 4, section 7.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from apex_opt.sim.steps import Float64, Int64
from apex_opt.spec.workload import Phase
from apex_opt.trace.arrivals import LATEST_NS, NS

MOST = 100_000_000
"""Requests that are drawn where the spec does not say how many; as many as it may ask for."""


def piecewise(phases: Sequence[Phase], n: int | None, rng: np.random.Generator) -> Int64:
    """Return when requests arrive.

    Args:
        phases: as in the spec: in order, the last one may have no end.
        n: requests; None: all until the last phase ends, which it must.
        rng: where chance comes from.

    Returns:
        (n,) int64, nanoseconds, not decreasing.

    Raises:
        ValueError: the phases end before so many requests, have none, or have too many; or the
            last request would arrive in more than ten years.
    """
    bounded = [phase for phase in phases if phase.until_s is not None]
    end_s = np.array([0.0, *(phase.until_s or 0.0 for phase in bounded)])
    expected = np.concatenate(
        [[0.0], np.cumsum(np.diff(end_s) * [phase.rate_rps for phase in bounded])]
    )
    last = phases[-1]
    clock = _until(float(expected[-1]), rng) if n is None else _first(n, rng)
    if last.until_s is not None and len(clock) and clock[-1] > expected[-1]:
        count = int(np.searchsorted(clock, expected[-1]))
        raise ValueError(f"{len(clock):,} requests are asked for, `phases` end after {count:,}")
    if not len(clock):
        raise ValueError("no request arrives before the last of `phases` ends")
    at = np.interp(clock, expected, end_s)
    if last.until_s is None:
        beyond = clock > expected[-1]
        at[beyond] = end_s[-1] + (clock[beyond] - expected[-1]) / last.rate_rps
    at *= NS
    if not at[-1] <= LATEST_NS:
        raise ValueError(f"{len(at):,} requests take more than ten years")
    times: Float64 = np.rint(at)
    return times.astype(np.int64)


def _first(n: int, rng: np.random.Generator) -> Float64:
    """Return the first `n` times of a Poisson process of rate 1."""
    return np.cumsum(rng.standard_exponential(n))


def _until(end: float, rng: np.random.Generator) -> Float64:
    """Return the times of a Poisson process of rate 1 before `end`."""
    if end > MOST / 2:
        raise ValueError(f"{end:,.0f} requests are expected; ask for fewer with `requests`")
    # Ten standard deviations more than the mean: that is never too few, to one in 10^22.
    clock = _first(int(end + 10 * end**0.5) + 50, rng)
    return clock[: np.searchsorted(clock, end)]
