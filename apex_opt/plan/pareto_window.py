"""A window of a front: the plans that are good enough on one axis.

Whether a plan lies in it is told by its simulation. What can be told before is told to the fleet
model: the price and number of devices are exact, idle power bounds mean power from below (where no
limit counts power in another way), and a latency is limited like a service level, which excludes
the replicas whose floors miss it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from apex_opt.plan.companions import companions
from apex_opt.plan.pareto_axis import Axis
from apex_opt.plan.problem import MICRO, MILLI, Problem
from apex_opt.plan.tried import TOLERANCE
from apex_opt.solvers.fleet_data import FleetData
from apex_opt.spec.goals import Percentiles, Slo
from apex_opt.spec.spec import Spec


@dataclass(frozen=True)
class Window:
    """Plans whose value on an axis is as good as `value`, or, if `strict`, better than it."""

    axis: Axis
    value: float
    strict: bool = False

    def allows(self, value: float) -> bool:
        """Whether a value lies in the window."""
        if self.strict:
            return self.axis.better(value, self.value)
        return self.axis.as_good(value, self.value)

    def covers(self, other: Window) -> bool:
        """Whether every value of the other window lies in this one."""
        if self.strict and not other.strict:
            return self.axis.better(other.value, self.value)
        return not self.axis.better(self.value, other.value)

    @property
    def most(self) -> float:
        """The largest value of a minimised axis that may lie in the window."""
        return self.value * (1 - TOLERANCE) if self.strict else self.value / (1 - TOLERANCE)


def narrowed(asked: Problem, spec: Spec, window: Window | None) -> Problem:
    """Return a fleet problem without plans that certainly lie outside of the window.

    Args:
        asked: the problem.
        spec: the spec that it was made of.
        window: None: every plan is in.
    """
    if window is None:
        return asked
    if window.axis.level is not None:
        return _with_level(asked, spec, *window.axis.level, window.most)
    data, name = asked.data, window.axis.goal.name
    if name == "cost":
        data = replace(data, price_u=_least(data.price_u, window.most * MICRO))
    elif name == "devices":
        data = replace(data, devices=_least(data.devices, window.most))
    elif name == "power" and not _limits_power(spec):
        data = replace(data, power_mw=_least(data.power_mw, window.most * MILLI))
    return replace(asked, data=data)


def _limits_power(spec: Spec) -> bool:
    """Whether limits count power: replicas then stand for peaks, or ratings, and not for means."""
    return any(
        limit is not None for limit in (spec.limits.power_w, *(p.power_w for p in spec.pools))
    )


def _least(limit: int | None, other: float) -> int:
    """Return the lower limit of whole numbers."""
    return math.floor(other) if limit is None else min(limit, math.floor(other))


def _with_level(asked: Problem, spec: Spec, metric: str, statistic: str, most: float) -> Problem:
    slo = _tightened(spec.slo, metric, statistic, most)
    if slo is None:
        return asked
    levelled = spec.model_copy(update={"slo": slo})
    roles = [c.role for c in asked.candidates]
    needs, misses = companions(levelled, asked.traffic, asked.bounds, roles)
    kinds = tuple(
        replace(kind, companions=need) for kind, need in zip(asked.data.kinds, needs, strict=True)
    )
    data: FleetData = replace(asked.data, kinds=kinds)
    return replace(asked, data=data, alone_misses=tuple(misses))


def _tightened(slo: Slo, metric: str, statistic: str, most: float) -> Slo | None:
    """Return service levels with one more; None where the metric is limited for each request."""
    table = getattr(slo, metric)
    if isinstance(table, float):
        return None
    table = table or Percentiles()
    known = getattr(table, statistic)
    limit = most if known is None else min(known, most)
    return slo.model_copy(update={metric: table.model_copy(update={statistic: limit})})
