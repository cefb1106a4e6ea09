"""Objectives: the unit of each, what a simulation gives, what the optimistic model bounds.

| key | unit | of a simulated plan | least (or most) possible |
|---|---|---|---|
| cost | USD an hour | price of all devices, starts, lost quality | the same |
| devices | devices | devices | the same |
| energy | J a request | energy of the run / completed requests | idle and work over all requests |
| power | W | energy of the run / its duration | energy bound / longest stable duration |
| latency | ms | mean end-to-end time | mean of the lone-request floors |
| goodput | requests/s | requests that meet their limits / span of arrivals | share x rate |
| throughput | tokens/s | output tokens / span of arrivals | share x offered rate |

Rates are over the span of the arrivals, the time in which the traffic is offered: over the whole
run, the last requests' own time would decide between plans that serve all.
Energy above idle is also bounded by the time in which anybody is served (`apex_opt.plan.awake`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from apex_opt.plan.candidate import Candidate
from apex_opt.plan.features import FEATURES, Features
from apex_opt.plan.optimistic import Optimistic
from apex_opt.plan.result import Prediction
from apex_opt.plan.step_floors import Row
from apex_opt.sim.metrics import Bool
from apex_opt.sim.steps import Int64
from apex_opt.spec.goals import Objective


@dataclass(frozen=True)
class Traffic:
    """The traffic as bounds see it.

    Attributes:
        features: of the requests that can be served.
        requests: all requests.
        span_s: from the first to the last arrival; 0 in a closed loop.
        horizon_s: time in which all that counts is done: a stable run, or the requests that meet
            limits where goodput is maximised; None where nothing bounds it.
        left_ns: (n,) of each request that can be served, time from its arrival to the end of the
            longest stable run; None where arrivals are not known or a run may drain for ever.
        refused: (candidates, n) whether a candidate rejects the request; None: none rejects any.
    """

    features: Features
    requests: int
    span_s: float
    horizon_s: float | None
    left_ns: Int64 | None = None
    refused: Bool | None = None


@dataclass(frozen=True)
class Coefficients:
    """Bound of an objective, in its unit: `fixed` per replica, `flow` per unit of each feature."""

    fixed: float
    flow: Row


Bound = Callable[[Candidate, Optimistic, Traffic], Coefficients]
NO_FLOW: Row = (0.0,) * len(FEATURES)


def _scaled(row: Row, factor: float) -> Row:
    return tuple(x * factor for x in row)


def _cost(c: Candidate, _: Optimistic, __: Traffic) -> Coefficients:
    return Coefficients(c.price_per_hour, NO_FLOW)


def _devices(c: Candidate, _: Optimistic, __: Traffic) -> Coefficients:
    return Coefficients(float(c.shape.devices), NO_FLOW)


def _by_request(traffic: Traffic) -> float:
    return 1 / max(traffic.requests, 1)


def _by_second(traffic: Traffic) -> float:
    return 1 / traffic.horizon_s if traffic.horizon_s is not None else 0.0


def _energy(c: Candidate, bounds: Optimistic, traffic: Traffic) -> Coefficients:
    per = _by_request(traffic)
    return Coefficients(c.idle_w * traffic.span_s * per, _scaled(bounds.energy_j, per))


def _power(c: Candidate, bounds: Optimistic, traffic: Traffic) -> Coefficients:
    return Coefficients(c.idle_w, _scaled(bounds.energy_j, _by_second(traffic)))


def _latency(_: Candidate, bounds: Optimistic, traffic: Traffic) -> Coefficients:
    served = max(len(traffic.features.steps), 1)
    return Coefficients(0.0, _scaled(bounds.e2e_ns, 1e-6 / served))


def _no_bound(_: Candidate, __: Optimistic, ___: Traffic) -> Coefficients:
    return Coefficients(0.0, NO_FLOW)


def _stretch(found: Prediction) -> float:
    """Return the duration of a run over the span of its arrivals; 1 if all arrive at once."""
    span_s = found.duration_s - found.drain_s
    return found.duration_s / span_s if span_s > 0 else 1.0


@dataclass(frozen=True)
class Goal:
    """An objective: its name, unit, sense, bound, and value of a prediction.

    `per_joule` is what a joule adds to it at least; None: energy has no part in it. `lasting` is
    whether it is held against how long a run lasts.
    """

    name: str
    unit: str
    maximize: bool
    bound: Bound
    value: Callable[[Prediction, int], float]
    per_joule: Callable[[Traffic], float] | None = None
    lasting: bool = False


GOALS: dict[str, Goal] = {
    g.name: g
    for g in (
        Goal("cost", "USD/h", False, _cost, lambda p, _: p.cost_per_hour + p.extra_cost_per_hour),
        Goal("devices", "devices", False, _devices, lambda _, devices: float(devices)),
        Goal(
            "energy", "J/request", False, _energy, lambda p, _: p.energy_j_per_request, _by_request
        ),
        Goal("power", "W", False, _power, lambda p, _: p.power_mean_w, _by_second, lasting=True),
        Goal("latency", "ms", False, _latency, lambda p, _: p.e2e_ms.mean),
        Goal("goodput", "requests/s", True, _no_bound, lambda p, _: p.goodput_rps * _stretch(p)),
        Goal(
            "throughput",
            "tokens/s",
            True,
            _no_bound,
            lambda p, _: p.output_tokens_per_s * _stretch(p),
        ),
    )
}


def goal(objective: Objective) -> Goal:
    """Return the goal that an objective names."""
    return GOALS[objective.minimize or objective.maximize or "cost"]
