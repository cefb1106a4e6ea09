"""Deadlines that service levels set: how much of the work must be done, and by when.

Where a level limits the time to the first token to L, all requests but the few that it lets be late
have their prompts computed within L of their arrival, so within the time over which requests arrive
and L more. Where levels limit the whole time of a request, or the time to its first token and the
time per token after it, the same holds of all its work. Of the requests that may be late the bounds
suppose the most work, feature by feature. Long answers may take long: the deadline of those that
decode at most q tokens is told, for the q that asks for the most.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from apex_opt.plan.features import FEATURES, PREFILL, Features
from apex_opt.plan.levels import (
    GAPS,
    NS_PER_MS,
    NS_PER_S,
    SHARE,
    Metric,
    request_limits_ns,
    statistic_levels,
)
from apex_opt.spec.spec import Spec

ROUNDING = 1e-9
QUANTILES = (0.5, 0.75, 0.9, 1.0)
DECODE, PACED = FEATURES.index("decode"), FEATURES.index("paced")


@dataclass(frozen=True)
class Deadline:
    """Work that is done within a time.

    Attributes:
        window_s: from the first arrival on.
        kept: [feature], the least share of each that is done by then; 0 for what may be later.
    """

    window_s: float
    kept: tuple[float, ...]


@dataclass(frozen=True)
class _Limit:
    """A limit that all requests keep but `late` of them; `joint` ones may be late together."""

    metric: Metric
    limit_ns: float
    late: int
    joint: bool


def deadlines(spec: Spec, traffic: Features, requests: int, span_s: float) -> tuple[Deadline, ...]:
    """Return the deadlines of prompts and of whole requests, as far as levels set them.

    Args:
        spec: its service levels are read.
        traffic: features of the requests that can be served.
        requests: all requests; those that cannot be served miss their limits.
        span_s: from the first arrival to the last.
    """
    if traffic.samples > 1 or traffic.served == 0:
        return ()
    limits = [*_limits(spec, traffic, requests)]
    prompts = _strongest(_prompts(limits, traffic, span_s), FEATURES.index("prompt"))
    wholes = _strongest(_wholes(limits, traffic, span_s), DECODE)
    return tuple(deadline for deadline in (prompts, wholes) if deadline is not None)


def _limits(spec: Spec, traffic: Features, requests: int) -> Iterator[_Limit]:
    """Yield the limits on each request, then those on percentiles of requests."""
    on_time = math.ceil(spec.slo.attainment * requests * (1 - ROUNDING))
    for metric, limit_ns in request_limits_ns(spec.slo).items():
        yield _Limit(metric, limit_ns, max(traffic.served - on_time, 0), joint=True)
    for level in statistic_levels(spec.slo):
        if level.statistic == "mean" or level.metric == "itl_ms":
            continue  # gaps are counted by token
        known = traffic.served
        if level.metric == "tpot_ms":
            known = int(np.count_nonzero(traffic.decode))
        on_time = 1 + math.floor((known - 1) * SHARE[level.statistic] * (1 - ROUNDING))
        if known:
            yield _Limit(level.metric, level.limit_ms * NS_PER_MS, known - on_time, joint=False)


def _prompts(limits: list[_Limit], traffic: Features, span_s: float) -> Iterator[Deadline]:
    """Yield the deadlines of prompts."""
    everyone = np.ones(traffic.columns.shape[1], np.bool_)
    for limit in limits:
        if limit.metric == "ttft_ms":
            kept = _kept(traffic, everyone, limit.late)
            prompts = (share if j in PREFILL else 0.0 for j, share in enumerate(kept))
            yield _deadline(span_s, limit.limit_ns, tuple(prompts))


def _wholes(limits: list[_Limit], traffic: Features, span_s: float) -> Iterator[Deadline]:
    """Yield the deadlines of whole requests."""
    decode = traffic.decode
    for first in limits:
        if first.metric == "e2e_ms":
            everyone = np.ones(len(decode), np.bool_)
            yield _deadline(span_s, first.limit_ns, _kept(traffic, everyone, first.late))
        if first.metric != "ttft_ms":
            continue
        for gap in limits:
            if gap.metric in GAPS:
                late = first.late if first.joint and gap.joint else first.late + gap.late
                for most in {int(np.quantile(decode, q)) for q in QUANTILES}:
                    kept = _kept(traffic, decode <= most, late)
                    yield _deadline(span_s, first.limit_ns + gap.limit_ns * most, kept)


def _deadline(span_s: float, limit_ns: float, kept: tuple[float, ...]) -> Deadline:
    return Deadline((span_s + limit_ns / NS_PER_S) * (1 + ROUNDING), kept)


def _kept(traffic: Features, of: NDArray[np.bool_], late: int) -> tuple[float, ...]:
    """Return of each feature the share of some requests without the `late` that have the most.

    Paced tokens are counted over other requests that may be late, so nothing is said of them.
    """
    shares = []
    for j, (column, total) in enumerate(zip(traffic.columns, traffic.totals, strict=True)):
        mine = column[of]
        if j == PACED or not total or late >= len(mine):
            shares.append(0.0)
            continue
        least = np.partition(mine, len(mine) - late - 1)[: len(mine) - late]
        shares.append(float(least.sum()) / total * (1 - ROUNDING))
    return tuple(shares)


def _strongest(found: Iterator[Deadline], feature: int) -> Deadline | None:
    """Return the deadline that asks for the most of a feature by the time."""
    return max(found, key=lambda d: d.kept[feature] / d.window_s, default=None)
