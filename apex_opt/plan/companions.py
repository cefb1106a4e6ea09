"""Which replicas cannot serve alone: levels that even a lone request misses too often.

For a percentile q over n requests (linear interpolation) the level is missed for sure when at least
n - floor((n - 1) q) requests have a floor above the limit; for a mean, when the mean of the floors
is; for attainment, when more than the allowed share of requests cannot meet their own limits; for
the drain, when one request that comes near the end cannot be done in time. Such a replica may only
stand beside another one whose floor lets some of those requests pass. One that prefills or decodes
is alone where it is the only one of its role, beside the best of the other.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from operator import le

import numpy as np
from numpy.typing import NDArray

from apex_opt.plan.features import Features
from apex_opt.plan.levels import (
    NS_PER_MS,
    SHARE,
    Metric,
    counts_goodput,
    reached,
    request_limits_ns,
    statistic_levels,
)
from apex_opt.plan.objective import Traffic
from apex_opt.plan.optimistic import Optimistic
from apex_opt.sim.member import Role
from apex_opt.spec.spec import Spec

Float = NDArray[np.float64]
Bool = NDArray[np.bool_]


def floor_ns(bounds: Optimistic, traffic: Features, metric: Metric) -> Float:
    """Return the least value of a metric per request; the largest gap is at least the mean gap.

    Of several samples the first one to come gives the time to the first token, the last one the
    end-to-end time; the time per token is no less than the least of theirs.
    """

    def each(values: Float) -> Float:
        return values.reshape(-1, traffic.samples)

    if metric == "ttft_ms":
        return np.asarray(each(bounds.ttft_ns).min(axis=1))
    if metric == "e2e_ms":
        return np.asarray(each(bounds.ttft_ns + bounds.decode_ns).max(axis=1))
    several = traffic.decode > 0
    gaps = np.where(several, bounds.decode_ns / np.maximum(traffic.decode, 1), np.nan)
    return np.asarray(np.fmin.reduce(each(gaps), axis=1))


@dataclass(frozen=True)
class _Level:
    """A level as each replica meets it when it serves alone.

    Attributes:
        missed: [replica], whether it misses the level for sure.
        floors: (replicas, requests) what it takes at least, or whether it is late for sure: whoever
            has less of it for some request serves that one better.
        known: helpers of those that were asked for, by floors and role: many are all late.
    """

    name: str
    missed: Sequence[bool]
    floors: Float | Bool
    known: dict[object, frozenset[int]] = field(default_factory=dict)

    def helpers(self, r: int, roles: Sequence[Role]) -> frozenset[int]:
        """Return the replicas of the same role of which one must stand beside r, never itself."""
        alike = (self.floors[r].tobytes(), roles[r])
        if alike not in self.known:
            helps = np.flatnonzero((self.floors < self.floors[r]).any(axis=1)).tolist()
            self.known[alike] = frozenset(q for q in helps if roles[q] == roles[r])
        return self.known[alike]


def _counted(name: str, late: Bool, enough: Callable[[int], bool]) -> _Level:
    """Return a level that is met when `enough` requests are on time."""
    served = late.shape[1]
    missed = [not enough(served - n) for n in late.sum(axis=1).tolist()]
    return _Level(name, missed, late)


def _mean(name: str, floors: Float, limit: float, count: int) -> _Level:
    """Return a level on the mean of `count` values.

    One of a worse mean may still be faster with some requests. Nobody misses it for sure who may
    not have all the values: those of others may lower the mean.
    """
    known = ~np.isnan(floors)
    means = np.where(known, floors, 0.0).sum(axis=1) / max(count, 1)
    missed = (means > limit) & (known.sum(axis=1) == count)
    return _Level(name, missed.tolist(), np.where(known, floors, -np.inf))


def _late(floors: Float, limit_ns: float) -> Bool:
    return np.asarray(np.nan_to_num(floors, nan=0.0) > limit_ns)


def _unsure(refused: Bool | None, roles: Sequence[Role]) -> Bool | None:
    """Return (replicas, requests) what may be rejected: by the replica, or by one it works with."""
    if refused is None:
        return None
    unsure = refused.copy()
    for r, role in enumerate(roles):
        if role != "mixed":
            others = [q for q, other in enumerate(roles) if other not in {"mixed", role}]
            unsure[r] |= refused[others].any(axis=0)
    return unsure


def _floors(
    bounds: Sequence[Optimistic], traffic: Traffic, metric: Metric, unsure: Bool | None
) -> Float:
    """Return (replicas, requests) the least values of a metric; NaN where it may have none."""
    found = np.empty((len(bounds), traffic.features.served))
    for r, own in enumerate(bounds):
        found[r] = floor_ns(own, traffic.features, metric)
    if unsure is not None:
        found[unsure] = np.nan
    return found


def _statistics(
    spec: Spec, traffic: Traffic, bounds: Sequence[Optimistic], unsure: Bool | None
) -> Iterator[_Level]:
    served = traffic.features.served
    for level in statistic_levels(spec.slo):
        floors = _floors(bounds, traffic, level.metric, unsure)
        known = int((~np.isnan(floor_ns(bounds[0], traffic.features, level.metric))).sum())
        if known == 0 or level.metric == "itl_ms":
            # Percentiles of gaps count tokens, not requests: no bound by request holds.
            continue
        name, limit = f"{level.metric} {level.statistic}", level.limit_ms * NS_PER_MS
        if level.statistic == "mean":
            yield _mean(name, floors, limit, known)
            continue
        most_late = known - 1 - math.floor((known - 1) * SHARE[level.statistic])
        yield _counted(name, _late(floors, limit), partial(le, served - most_late))


def _shares(
    spec: Spec, traffic: Traffic, bounds: Sequence[Optimistic], unsure: Bool | None
) -> Iterator[_Level]:
    """Yield completion and attainment; where goodput is maximised they are the aim, no limit."""
    if counts_goodput(spec):
        return
    served, requests = traffic.features.served, traffic.requests

    def enough(on_time: int) -> bool:
        return reached(on_time / requests, spec.slo.attainment)

    late = np.zeros((len(bounds), served), np.bool_)
    late = late if traffic.refused is None else traffic.refused
    out = requests - served + int(late.sum(axis=1).min())
    key = "`model.max_context`" if spec.engine.max_model_len is None else "`max_model_len`"
    longer = f"{out:,} of {requests:,} requests are longer than {key}"
    if spec.model.reads_prompt:
        longer += ", or their prompt than `model.max_context`"
    if spec.engine.name == "tensorrt-llm" and not spec.engine.chunked_prefill:
        longer += ", or their prompt than `max_num_batched_tokens`"
    yield _counted(f"completed ({longer})", late, enough)
    for metric, limit in request_limits_ns(spec.slo).items():
        late = late | _late(_floors(bounds, traffic, metric, unsure), limit)
    yield _counted("attainment", late, enough)


def _drain(traffic: Traffic, bounds: Sequence[Optimistic], unsure: Bool | None) -> Iterator[_Level]:
    """Yield the drain, where arrivals are known: nobody may be done after the end."""
    if traffic.left_ns is not None:
        late = _floors(bounds, traffic, "e2e_ms", unsure) > traffic.left_ns
        yield _counted("drain_s", late, partial(le, traffic.features.served))


def companions(
    spec: Spec, traffic: Traffic, bounds: Sequence[Optimistic], roles: Sequence[Role]
) -> tuple[list[frozenset[int] | None], list[str | None]]:
    """Return for each replica the others of which it needs one (None: it may serve alone), and why.

    Args:
        spec: its service levels are read.
        traffic: the requests, those that every replica rejects included.
        bounds: the optimistic model of each replica, with the best of the other role.
        roles: of each replica.
    """
    unsure = _unsure(traffic.refused, roles)
    levels = [
        *_statistics(spec, traffic, bounds, unsure),
        *_shares(spec, traffic, bounds, unsure),
        *_drain(traffic, bounds, unsure),
    ]
    needed: list[frozenset[int] | None] = []
    reasons: list[str | None] = []
    for r in range(len(bounds)):
        missed = {level.name: level.helpers(r, roles) for level in levels if level.missed[r]}
        worst = min(missed, key=lambda name: len(missed[name]), default=None)
        needed.append(None if worst is None else missed[worst])
        reasons.append(worst)
    return needed, reasons
