"""The least energy of a plan while anybody is served: who has a request steps without a pause.

A replica that does all of a request runs one batch after the other from when the request is queued
until it ends (`apex_opt.sim.loop`). So at each moment of the time that is covered by

    [arrival + overhead, arrival + least end-to-end time]    of any request

some replica of the plan is at work, and draws at least the least power w of its steps above idle
(`apex_opt.plan.peak`). Let A be the length of that time. Steps of replica kind r take time F[r] in
all, so that sum_r F[r] >= A, and energy w[r] F[r] and what is beyond (`apex_opt.plan.beyond`):

    energy above idle  >=  min_r w[r] A + sum_r beyond[r],    r over the kinds used,

for any w[r] up to the least power; of a few parts of it the one counts that says most of a plan of
this kind alone. Where a plan may have several kinds of replica, the times are those of the fastest
for each request.

The mean power of a run that lasts D is that energy over D. Let E be when the last request ends at
the earliest: after it somebody is served until D, so that A grows with D - E. As A <= E,

    (w (A + D - E) + beyond) / D  >=  w A / E + beyond / D.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce

import numpy as np
from numpy.typing import NDArray

from apex_opt.plan.beyond import beyond
from apex_opt.plan.candidate import Candidate
from apex_opt.plan.companions import floor_ns
from apex_opt.plan.levels import NS_PER_S
from apex_opt.plan.objective import NO_FLOW, Traffic
from apex_opt.plan.optimistic import Optimistic, rows_of, values
from apex_opt.plan.step_floors import Row

Float = NDArray[np.float64]

PARTS = (1.0, 0.9, 0.75, 0.5, 0.25)
"""Of the least power, that are tried."""


@dataclass(frozen=True)
class Awake:
    """The least energy above idle of plans that use a replica, joules.

    Attributes:
        least_j: of a plan that uses it and none of less, whatever each serves.
        beyond_j: by what it serves, to be added.
    """

    least_j: float = 0.0
    beyond_j: Row = NO_FLOW


def awake(
    candidates: Sequence[Candidate],
    bounds: Sequence[Optimistic],
    traffic: Traffic,
    *,
    alone: bool,
    lasting: bool = False,
) -> list[Awake]:
    """Return the least energy above idle of a plan, by each replica.

    Nothing where arrivals are not known, where requests may be rejected, and of replicas with a
    role.

    Args:
        candidates: the replicas.
        bounds: the optimistic model of each.
        traffic: the requests.
        alone: whether a plan has one kind of replica, and all do whole requests.
        lasting: of a run that takes the whole horizon; over it, it is the mean power of any run.
    """
    mixed = [b for c, b in zip(candidates, bounds, strict=True) if c.role == "mixed"]
    if traffic.left_ns is None or traffic.refused is not None or not mixed:
        return [Awake()] * len(candidates)
    horizon_s, arrivals = traffic.horizon_s or 0.0, arrivals_ns(traffic)
    overhead = float(max(c.rules.request_overhead_ns for c in candidates))

    def awake_s(floors: Float) -> float:
        served_s = covered_ns(arrivals + overhead, arrivals + floors) / NS_PER_S
        end_s = max(float((arrivals + floors).max(initial=0)) / NS_PER_S, traffic.span_s)
        return served_s * horizon_s / end_s if lasting and end_s else served_s

    each = (floor_ns(b, traffic.features, "e2e_ms") for b in mixed)
    if alone:
        times = [awake_s(floors) for floors in each]
    else:
        times = [awake_s(reduce(np.minimum, each))] * len(candidates)
    return [_strongest(c, b, traffic, s) for c, b, s in zip(candidates, bounds, times, strict=True)]


def _strongest(candidate: Candidate, bounds: Optimistic, traffic: Traffic, awake_s: float) -> Awake:
    """Return the bound by the part of the least power that says most of all the traffic."""
    if not bounds.step_w:
        return Awake()
    found = []
    for watts in (part * bounds.step_w for part in PARTS):
        rows = rows_of(beyond(candidate, watts), bounds.steps)
        sums = values(rows, traffic.features.totals)
        best = int(np.argmax(sums))
        found.append((watts * awake_s + sums[best], watts, rows[best]))
    _, watts, row = max(found, key=lambda one: one[0])
    return Awake(watts * awake_s, tuple(row.tolist()))


def arrivals_ns(traffic: Traffic) -> Float:
    """Return when each request that can be served arrives, after the first of all."""
    if traffic.left_ns is None or traffic.horizon_s is None:
        raise ValueError("traffic: arrivals are not known")
    return np.maximum(traffic.horizon_s * NS_PER_S - traffic.left_ns.astype(np.float64), 0.0)


def covered_ns(begin: Float, end: Float) -> float:
    """Return the length of the union of intervals; those that end before they begin are empty."""
    order = np.argsort(begin, kind="stable")
    begin, end = begin[order], end[order]
    before = np.concatenate([[-np.inf], np.maximum.accumulate(end)[:-1]])
    return float(np.maximum(end - np.maximum(begin, before), 0.0).sum())
