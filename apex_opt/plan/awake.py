"""The least energy of a plan while anybody is served: who has a request steps without a pause.

A replica that does all of a request runs one batch after the other from when the request is queued
until it ends (`apex_opt.sim.loop`). So at each moment of the time that is covered by

    [arrival + overhead, arrival + least end-to-end time]    of any request

some replica of the plan is at work, and draws at least the least power of its steps above idle
(`apex_opt.plan.peak`). Where a plan may have several kinds of replica, the times are those of the
fastest for each request, the power is that of the kind used that draws least.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce

import numpy as np
from numpy.typing import NDArray

from apex_opt.plan.candidate import Candidate
from apex_opt.plan.companions import floor_ns
from apex_opt.plan.levels import NS_PER_S
from apex_opt.plan.objective import Traffic
from apex_opt.plan.optimistic import Optimistic

Float = NDArray[np.float64]


def awake_j(
    candidates: Sequence[Candidate],
    bounds: Sequence[Optimistic],
    traffic: Traffic,
    *,
    alone: bool,
) -> list[float]:
    """Return the least energy above idle of a plan with each replica and none of less, joules.

    Zero where arrivals are not known, where requests may be rejected, and of replicas with a role.

    Args:
        candidates: the replicas.
        bounds: the optimistic model of each.
        traffic: the requests.
        alone: whether a plan has one kind of replica, and all do whole requests.
    """
    mixed = [b for c, b in zip(candidates, bounds, strict=True) if c.role == "mixed"]
    if traffic.left_ns is None or traffic.refused is not None or not mixed:
        return [0.0] * len(candidates)
    arrivals = (traffic.left_ns.max(initial=0) - traffic.left_ns).astype(np.float64)
    overhead = float(max(c.rules.request_overhead_ns for c in candidates))

    def awake_s(floors: Float) -> float:
        return covered_ns(arrivals + overhead, arrivals + floors) / NS_PER_S

    each = (floor_ns(b, traffic.features, "e2e_ms") for b in mixed)
    if alone:
        return [b.step_w * awake_s(floors) for b, floors in zip(bounds, each, strict=True)]
    fastest_s = awake_s(reduce(np.minimum, each))
    return [b.step_w * fastest_s for b in bounds]


def covered_ns(begin: Float, end: Float) -> float:
    """Return the length of the union of intervals; those that end before they begin are empty."""
    order = np.argsort(begin, kind="stable")
    begin, end = begin[order], end[order]
    before = np.concatenate([[-np.inf], np.maximum.accumulate(end)[:-1]])
    return float(np.maximum(end - np.maximum(begin, before), 0.0).sum())
