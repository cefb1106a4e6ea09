"""Service levels of a spec against what a simulation shows."""

from __future__ import annotations

from apex_opt.plan.levels import (
    counts_goodput,
    reached,
    request_limits_ns,
    statistic_levels,
)
from apex_opt.plan.result import Check, Prediction
from apex_opt.spec.spec import Spec


def checks(spec: Spec, found: Prediction) -> tuple[Check, ...]:
    """Return every service level of the spec with what the prediction shows.

    Rejected requests meet nothing: the completed share must reach `slo.attainment` too. When
    goodput is maximised, attainment and drain are the aim and no constraint.
    """
    levels = [
        _at_most(level.metric, level.statistic, level.limit_ms, shown)
        for level in statistic_levels(spec.slo)
        for shown in [getattr(getattr(found, level.metric), level.statistic)]
    ]
    if counts_goodput(spec):
        return tuple(levels)
    least = spec.slo.attainment
    if request_limits_ns(spec.slo):
        levels.append(_at_least("attainment", least, found.attainment))
    levels.append(_at_least("completed", least, found.completed / found.requests))
    if spec.workload.arrival != "closed":
        levels.append(_at_most("drain_s", "end", found.drain_limit_s, found.drain_s))
    return tuple(levels)


def _at_most(metric: str, statistic: str, limit: float, shown: float) -> Check:
    return Check.model_validate(
        {
            "metric": metric,
            "statistic": statistic,
            "limit": limit,
            "value": shown,
            "met": shown <= limit,
        }
    )


def _at_least(metric: str, limit: float, shown: float) -> Check:
    return Check.model_validate(
        {
            "metric": metric,
            "statistic": "share",
            "limit": limit,
            "value": shown,
            "met": reached(shown, limit),
        }
    )
