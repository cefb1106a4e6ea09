"""What a front may be drawn over: every objective, and every statistic of every latency."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from apex_opt.errors import CallError
from apex_opt.plan.levels import METRICS, SHARE, Metric
from apex_opt.plan.objective import GOALS, NO_FLOW, Coefficients, Goal
from apex_opt.plan.result import Prediction
from apex_opt.plan.tried import better
from apex_opt.spec.goals import Objective
from apex_opt.spec.words import nearest

STATISTICS = ("mean", *SHARE)

EASE = ("cost", "devices", *METRICS, "power", "energy", "goodput", "throughput")
"""What is better limited than sought comes first: prices and counts are known before a simulation,
floors of latencies exclude replicas, the others show in simulations alone."""


@dataclass(frozen=True)
class Axis:
    """A figure of a plan, with its sense.

    Attributes:
        name: as the command line takes it.
        goal: its unit, its sense, its value and what bounds it.
        level: the metric and the statistic that a service level would limit; None: no latency.
    """

    name: str
    goal: Goal
    level: tuple[Metric, str] | None = None

    @property
    def sense(self) -> Literal["minimize", "maximize"]:
        """What is done with it."""
        return "maximize" if self.goal.maximize else "minimize"

    @property
    def bounded(self) -> bool:
        """Whether the fleet model bounds it; statistics of simulations have no bound but zero."""
        return self.goal.name in GOALS

    @property
    def objective(self) -> Objective:
        """The objective of a spec that asks for it; fewest devices where no objective does."""
        if not self.bounded:
            return Objective(minimize="devices")
        return Objective.model_validate({self.sense: self.goal.name})

    @property
    def ease(self) -> int:
        """How well the fleet model limits it: its place in `EASE`."""
        return EASE.index(self.level[0] if self.level else self.goal.name)

    def better(self, a: float, b: float) -> bool:
        """Whether value `a` is better than `b` by more than the tolerance of the search."""
        if math.isinf(a) or math.isinf(b):  # bounds where nothing is known, or nothing is left
            return a > b if self.goal.maximize else a < b
        return better(self.goal, a, b)

    def as_good(self, a: float, b: float) -> bool:
        """Whether value `a` is no worse than `b`, within the tolerance of the search."""
        return not self.better(b, a)

    def best(self, values: list[float]) -> float:
        """Return the best of some values."""
        return max(values) if self.goal.maximize else min(values)


def _unbounded(*_: object) -> Coefficients:
    return Coefficients(0.0, NO_FLOW)


def _statistic(metric: Metric, statistic: str) -> Callable[[Prediction, int], float]:
    return lambda found, _: float(getattr(getattr(found, metric), statistic))


def _latency(metric: Metric, statistic: str) -> Axis:
    name = f"{metric.removesuffix('_ms')}_{statistic}"
    mean = (metric, statistic) == ("e2e_ms", "mean")  # the objective `latency`, which has a bound
    own = Goal(name, "ms", False, _unbounded, _statistic(metric, statistic))
    return Axis(name, GOALS["latency"] if mean else own, (metric, statistic))


AXES: dict[str, Axis] = {
    axis.name: axis
    for axis in (
        *(
            Axis(g.name, g, ("e2e_ms", "mean") if g.name == "latency" else None)
            for g in GOALS.values()
        ),
        *(_latency(metric, statistic) for metric in METRICS for statistic in STATISTICS),
    )
}


def axis_named(name: str) -> Axis:
    """Return the axis of a name.

    Raises:
        CallError: there is none; the text lists those that there are.
    """
    if name not in AXES:
        metrics = "|".join(metric.removesuffix("_ms") for metric in METRICS)
        raise CallError(
            f"no axis `{name}`{nearest(name, AXES)}\naxes are {', '.join(GOALS)}, and "
            f"({metrics})_({'|'.join(STATISTICS)})"
        )
    return AXES[name]


def roles(x: Axis, y: Axis) -> tuple[Axis, Axis]:
    """Return which axis is sought and which is limited, step by step.

    The limited one is that on which a limit excludes the most before a simulation, unless the
    other has no bound.
    """
    limited, sought = sorted((x, y), key=lambda axis: axis.ease)
    if not sought.bounded and limited.bounded:
        sought, limited = limited, sought
    return sought, limited
