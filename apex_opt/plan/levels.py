"""Service levels: what the spec asks, in one list, for the bounds and the check of a simulation.

A level on a statistic limits a percentile or mean over all completed requests. Levels on each
request are joined into one: the share of all requests that meet every one of them
(`slo.attainment`); a rejected request meets none.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from apex_opt.spec.goals import Percentiles, Slo
from apex_opt.spec.spec import Spec

Metric = Literal["ttft_ms", "tpot_ms", "itl_ms", "e2e_ms"]
METRICS: tuple[Metric, ...] = ("ttft_ms", "tpot_ms", "itl_ms", "e2e_ms")
GAPS: tuple[Metric, ...] = ("tpot_ms", "itl_ms")
SHARE = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99}
NS_PER_MS = 1e6
NS_PER_S = 1e9
ROUNDING = 1e-12


@dataclass(frozen=True)
class Level:
    """A limit on one statistic of one metric, milliseconds."""

    metric: Metric
    statistic: str
    limit_ms: float


def statistic_levels(slo: Slo) -> tuple[Level, ...]:
    """Return the limits on statistics."""
    return tuple(
        Level(metric, statistic, limit)
        for metric in METRICS
        if isinstance(table := getattr(slo, metric), Percentiles)
        for statistic, limit in table.limits().items()
    )


def request_limits_ns(slo: Slo) -> dict[Metric, float]:
    """Return the limits on each request, nanoseconds."""
    return {
        metric: limit * NS_PER_MS
        for metric in METRICS
        if isinstance(limit := getattr(slo, metric), float)
    }


def reached(share: float, least: float) -> bool:
    """Whether a share of the requests reaches a limit; 99 of 100 are 0.99 whatever the rounding."""
    return share >= least - ROUNDING


def counts_goodput(spec: Spec) -> bool:
    """Whether meeting requests is what is maximised, and so is no constraint."""
    return spec.objective.maximize == "goodput"


LEAST_DRAIN_S = 60.0
SLOW_TOKEN_S = 0.05
"""Of an output that somebody reads along: twenty tokens a second are several times the pace of
silent reading, 238 words a minute (M. Brysbaert, Journal of Memory and Language 109, 2019).
"""


def drain_limit_s(slo: Slo, span_s: float, longest_tokens: int) -> float:
    """Return how long after the last arrival all work may end in a stable run, seconds.

    By default that is a tenth of the time over which requests arrive, and what the longest output
    takes at a slow pace; at least a minute.

    Args:
        slo: may say it.
        span_s: from the first to the last arrival.
        longest_tokens: the most tokens that a request puts out.
    """
    if slo.drain_s is not None:
        return slo.drain_s
    return max(LEAST_DRAIN_S, SLOW_TOKEN_S * longest_tokens) + span_s / 10


def longest_s(slo: Slo, output_tokens: int) -> float | None:
    """Return the longest time from arrival to last token of a request that meets its own limits.

    None where no limit bounds it. A request of `output_tokens` has that many less one gaps, each at
    most as long as the limit on the largest, together as long as that on their mean.
    """
    limits = request_limits_ns(slo)
    gap = min((limits[m] for m in GAPS if m in limits), default=math.inf)
    after = gap * (output_tokens - 1) if output_tokens > 1 else 0.0
    whole = min(limits.get("e2e_ms", math.inf), limits.get("ttft_ms", math.inf) + after)
    return None if math.isinf(whole) else whole / NS_PER_S
