"""Latencies, statistics and service levels, from a log. Times are in ns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from apex_opt.sim.log import DONE, Log
from apex_opt.sim.steps import Float64, Int64

Bool = NDArray[np.bool_]

PERCENTS = (50, 90, 95, 99)


class Statistics(NamedTuple):
    """A distribution; NaN where it is empty."""

    mean: float
    p50: float
    p90: float
    p95: float
    p99: float


@dataclass(frozen=True)
class Limits:
    """What each request must keep to, ns; None does not limit."""

    ttft_ns: float | None = None
    tpot_ns: float | None = None
    itl_ns: float | None = None
    e2e_ns: float | None = None


def describe(values: NDArray[np.number]) -> Statistics:
    """Return mean and percentiles, interpolated linearly (numpy's default)."""
    if not len(values):
        return Statistics(*[float("nan")] * 5)
    return Statistics(float(values.mean()), *percentiles(np.sort(values)).tolist())


def percentiles(ordered: NDArray[np.number]) -> Float64:
    """Return `PERCENTS` of values in ascending order, bit by bit those of `np.percentile`."""
    rank = np.array(PERCENTS) / 100 * (len(ordered) - 1)
    k = rank.astype(np.int64)
    low, high = ordered[k], ordered[np.minimum(k + 1, len(ordered) - 1)]
    step, share = high - low, rank - k
    return np.where(share < 0.5, low + step * share, high - step * (1 - share))


def done(log: Log) -> Bool:
    """Return (n,) which requests were served."""
    served: Bool = log.status == DONE
    return served


def queue(log: Log) -> Int64:
    """Return the time from arrival to the first scheduled step, of each request served."""
    return (log.start_ns - log.arrival_ns)[done(log)]


def ttft(log: Log) -> Int64:
    """Return the time from arrival to the first token, of each request served."""
    return (log.first_ns - log.arrival_ns)[done(log)]


def e2e(log: Log) -> Int64:
    """Return the time from arrival to the last token, of each request served."""
    return (log.last_ns - log.arrival_ns)[done(log)]


def tpot(log: Log, output_tokens: Int64) -> Float64:
    """Return (last - first token) / (output - 1), of each request served with two or more."""
    several = done(log) & (output_tokens > 1)
    return (log.last_ns - log.first_ns)[several] / (output_tokens[several] - 1)


def edge(k: Int64) -> Float64:
    """Return where bin k of gaps begins: there are 256 equal ones from each power of 2 ns on."""
    octave, place = np.divmod(k, 256)
    return np.ldexp(1 + place / 256, octave)


def itl(log: Log) -> Statistics:
    """Return statistics of the times between tokens, one value a token after the first.

    The mean is exact. The values of a bin are taken as spread evenly over it, so a percentile is
    within a bin's width, at most 1/256 of itself.
    """
    count = int(log.gaps.sum())
    if count == 0:
        return describe(np.empty(0))
    below = np.concatenate([[0], np.cumsum(log.gaps)])
    ranks = np.array(PERCENTS) / 100 * (count - 1)
    k = np.searchsorted(below, ranks, side="right") - 1
    inside = (ranks - below[k] + 0.5) / log.gaps[k]
    # Tokens that were guessed come with the one before them: what is below bin 2 is 0.
    low, high = (np.where(at < 2, 0.0, edge(at)) for at in (k, k + 1))
    values = low + np.minimum(inside, 1) * (high - low)
    total = float((log.last_ns - log.first_ns)[done(log)].sum())
    return Statistics(total / count, *map(float, values))


def met(log: Log, output_tokens: Int64, limits: Limits) -> Bool:
    """Return (n,) which requests were served and kept to every limit.

    The limit on ITL is on the largest gap of a request. A request of one token has no TPOT and no
    gap, and meets any limit on them.
    """
    kept = done(log)
    if limits.ttft_ns is not None:
        kept &= log.first_ns - log.arrival_ns <= limits.ttft_ns
    if limits.tpot_ns is not None:
        spent = log.last_ns - log.first_ns
        kept &= (output_tokens == 1) | (spent <= limits.tpot_ns * (output_tokens - 1))
    if limits.itl_ns is not None:
        kept &= log.gap_ns <= limits.itl_ns
    if limits.e2e_ns is not None:
        kept &= log.last_ns - log.arrival_ns <= limits.e2e_ns
    return kept


def attainment(kept: Bool) -> float:
    """Return the share of all requests, rejected ones included, that met the limits."""
    return float(kept.mean()) if len(kept) else float("nan")


def duration_ns(log: Log) -> int:
    """Return the time from the first arrival to the last token; 0 if none was served."""
    if not done(log).any():
        return 0
    return int(log.last_ns.max() - log.arrival_ns.min())


def goodput_rps(log: Log, kept: Bool) -> float:
    """Return requests that met the limits, a second of the run."""
    duration = duration_ns(log)
    return float(kept.sum()) / duration * 1e9 if duration else 0.0


def backlog(log: Log) -> int:
    """Return how many requests had not been scheduled at all when the last one arrived.

    The last one counts too, unless it was scheduled at once or rejected.
    """
    if not len(log.arrival_ns):
        return 0
    return int(np.count_nonzero(log.start_ns > log.arrival_ns.max()))
