"""Which replicas cannot serve alone: levels that even a lone request misses too often.

For a percentile q over n requests (linear interpolation) the level is missed for sure when at least
n - floor((n - 1) q) requests have a floor above the limit; for a mean, when the mean of the floors
is; for attainment, when more than the allowed share of requests cannot meet their own limits. Such
a replica may only stand beside another one whose floor lets some of those requests pass.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from apex_opt.plan.features import Features
from apex_opt.plan.levels import (
    NS_PER_MS,
    SHARE,
    Metric,
    counts_goodput,
    request_limits_ns,
    statistic_levels,
)
from apex_opt.plan.optimistic import Optimistic
from apex_opt.spec.spec import Spec

Float = NDArray[np.float64]
Bool = NDArray[np.bool_]
Helps = Callable[[int], bool]


def floor_ns(bounds: Optimistic, traffic: Features, metric: Metric) -> Float:
    """Return the least value of a metric per request; the largest gap is at least the mean gap."""
    if metric == "ttft_ms":
        return bounds.ttft_ns
    if metric == "e2e_ms":
        return bounds.ttft_ns + bounds.decode_ns
    several = traffic.decode > 0
    return np.where(several, bounds.decode_ns / np.maximum(traffic.decode, 1), np.nan)


@dataclass(frozen=True)
class _Missed:
    """A level that a replica misses when it serves alone, and which others would help."""

    name: str
    helpers: frozenset[int]


def _counted(name: str, late: Sequence[Bool], r: int) -> _Missed:
    """Others help if they are not late with all that r is late with."""
    mine = late[r]
    helpers = frozenset(q for q in range(len(late)) if q != r and bool((mine & ~late[q]).any()))
    return _Missed(name, helpers)


def _statistics(spec: Spec, floors: dict[Metric, list[Float]], r: int) -> Iterator[_Missed]:
    for level in statistic_levels(spec.slo):
        if level.metric == "itl_ms":
            # Gaps are counted by token, not by request: no bound by request holds.
            continue
        limit = level.limit_ms * NS_PER_MS
        mine = floors[level.metric][r]
        known = mine[~np.isnan(mine)]
        name = f"{level.metric} {level.statistic}"
        if len(known) == 0:
            continue
        if level.statistic == "mean":
            means = [float(np.nanmean(f)) for f in floors[level.metric]]
            if means[r] > limit:
                yield _Missed(name, frozenset(q for q, m in enumerate(means) if m < means[r]))
            continue
        late = [np.nan_to_num(f, nan=0.0) > limit for f in floors[level.metric]]
        allowed = len(known) - math.floor((len(known) - 1) * SHARE[level.statistic])
        if int(late[r].sum()) >= allowed:
            yield _counted(name, late, r)


def _attainment(
    spec: Spec, floors: dict[Metric, list[Float]], requests: int, r: int
) -> Iterator[_Missed]:
    limits = request_limits_ns(spec.slo)
    if not limits or counts_goodput(spec):
        return
    late = [
        np.any(
            [np.nan_to_num(floors[m][q], nan=0.0) > limit for m, limit in limits.items()], axis=0
        )
        for q in range(len(floors["ttft_ms"]))
    ]
    served = len(late[r])
    if int(late[r].sum()) + requests - served > (1 - spec.slo.attainment) * requests + 1e-9:
        yield _counted("attainment", late, r)


def companions(
    spec: Spec, traffic: Features, bounds: Sequence[Optimistic], requests: int
) -> tuple[list[frozenset[int] | None], list[str | None]]:
    """Return for each replica the others of which it needs one (None: it may serve alone), and why.

    Args:
        spec: its service levels are read.
        traffic: features of the requests that are served.
        bounds: the optimistic model of each replica.
        requests: all requests, those that every replica rejects included.
    """
    floors: dict[Metric, list[Float]] = {
        metric: [floor_ns(b, traffic, metric) for b in bounds]
        for metric in ("ttft_ms", "tpot_ms", "itl_ms", "e2e_ms")
    }
    needed: list[frozenset[int] | None] = []
    reasons: list[str | None] = []
    for r in range(len(bounds)):
        missed = [*_statistics(spec, floors, r), *_attainment(spec, floors, requests, r)]
        worst = min(missed, key=lambda m: len(m.helpers), default=None)
        needed.append(worst.helpers if worst else None)
        reasons.append(worst.name if worst else None)
    return needed, reasons
