"""Placement: layers into stages, stages onto groups of devices of unlike type, speed and memory.

The model is that of `placement_rules`; with t[e] the time of a stage or hop and x[c,e] how often it
occurs,

Objective   period                the least T for which a solution with t[e] <= T exists, by
                                  bisection over the times there are: stages slower than T are left
                                  out, so each question is a small one that asks only whether
            latency               min sum_ce t[e] x[c,e], hops included
"""

from __future__ import annotations

import math
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Literal

from ortools.sat.python.cp_model import FEASIBLE, INFEASIBLE, OPTIMAL, CpModel, CpSolver

from apex_opt.solvers.placement_data import Pipeline, PlacementData
from apex_opt.solvers.placement_graph import Graph, Vertex, graph
from apex_opt.solvers.placement_rules import Vars, build, latency
from apex_opt.solvers.placement_verify import latency_ns, period_ns

PARAMETERS: dict[str, float] = {
    "num_workers": 1,
    "random_seed": 0,
    "linearization_level": 2,
    "cp_model_presolve": False,
    "cp_model_probing_level": 0,
    "symmetry_level": 0,
}
STRATEGY = "max_lp"
"""Paths are what linear relaxations are good at, and what presolve takes apart: with one worker and
the whole relaxation, the least latency over 5,584 edges takes 0.02 s, with the defaults more than
8 s; over 9,848 edges with unlike hops 0.06 s, with any other one strategy more than 7 s.
"""

Status = Literal["optimal", "feasible", "infeasible", "unknown"]
Goal = Literal["period", "latency"]


@dataclass(frozen=True)
class Placed:
    """What a search found.

    Attributes:
        status: `optimal`: proved. `feasible`: stopped by the clock with pipelines. `infeasible`:
            proved. `unknown`: neither.
        pipelines: the stages of each; empty without a plan.
        value: period or latency, ns; the latency is the sum over the pipelines. None without one.
        bound: no plan has less; None if infeasible.
    """

    status: Status
    pipelines: tuple[Pipeline, ...]
    value: int | None
    bound: int | None


def solve(data: PlacementData, goal: Goal = "period", time_limit_s: float = 60.0) -> Placed:
    """Return the pipelines of least period or least latency.

    Args:
        data: the question.
        goal: what is least.
        time_limit_s: for all searches together.
    """
    until = time.monotonic() + time_limit_s
    g = graph(data)
    if goal == "latency":
        return _fastest(data, g, until)
    times, least_ns = _times(g), flow_ns(data)
    if (even := _hops_of(data, min)) != data:
        # Hops as short as the shortest: no plan of `data` is better, and this is told faster.
        relaxed = solve(even, goal, time_limit_s / 3)
        if relaxed.bound is None:
            return relaxed
        least_ns = max(least_ns, relaxed.bound)
    begin = next((i for i, t in enumerate(times) if t >= least_ns), len(times))
    return _least_period(data, g, times[begin:], until, first=_simple(data, until))


def _hops_of(data: PlacementData, which: Callable[[Iterable[int]], int]) -> PlacementData:
    """Return the question with all hops as long as the shortest, or the longest, of them."""
    one = which(hop for row in data.hop_ns for hop in row)
    return replace(data, hop_ns=tuple((one,) * len(row) for row in data.hop_ns))


def _simple(data: PlacementData, until: float) -> tuple[Pipeline, ...]:
    """Return pipelines to begin with, or none: all the same, with every hop as long as the longest.

    Each has its part of stock and power. Several that differ, or unlike hops, may take long.
    """
    copies, even = data.pipelines, _hops_of(data, max)
    if copies == 1 and even == data:
        return ()
    stock = tuple(devices // copies for devices in data.stock)
    power = None if data.power_mw is None else data.power_mw // copies
    part = replace(even, pipelines=1, stock=stock, power_mw=power)
    g, now = graph(part), time.monotonic()
    return _least_period(part, g, _times(g), (now + until) / 2).pipelines * copies


def flow_ns(data: PlacementData) -> int:
    """Return a time that no period is below: all groups at work, layers spread as a liquid.

    With r[g,k] the least time of a layer of kind k on group g and any weights y[k] >= 0,

        P sum_k y[k] layers[k] <= T sum_p stock[p] max_{g on p, k} y[k] / (r[g,k] devices[g])

    as a group that is busy for T gets through layers of a weight of at most T max_k y[k] / r[g,k].
    Weights are the least times of the first group.
    """
    counts = data.counts(0, data.layers)
    rates = [
        {k: min(t / n for n, t in enumerate(group.layers_ns[k]) if n) for k in counts}
        for group in data.groups
        if all(len(group.layers_ns[k]) > 1 for k in counts)
    ]
    if not rates or len(rates) < len(data.groups) or not all(all(r.values()) for r in rates):
        return 0
    weights = rates[0]
    most = sum(
        devices
        * max(
            (
                weights[k] / (r[k] * group.devices)
                for group, r in zip(data.groups, rates, strict=True)
                if group.pool == p
                for k in counts
            ),
            default=0.0,
        )
        for p, devices in enumerate(data.stock)
    )
    work = data.pipelines * sum(weights[k] * n for k, n in counts.items())
    return math.floor(work / most * (1 - 1e-9)) if most else 0


def _fastest(data: PlacementData, g: Graph, until: float) -> Placed:
    m, v = build(data, g)
    m.minimize(latency(v))
    status, bound, pipelines = _run(m, v, until)
    if not pipelines:
        return Placed(status, (), None, None if status == "infeasible" else max(0, bound))
    value = sum(latency_ns(data, pipeline) for pipeline in pipelines)
    return Placed(status, pipelines, value, value if status == "optimal" else max(0, bound))


def _least_period(
    data: PlacementData,
    g: Graph,
    times: list[int],
    until: float,
    asked: int = 0,
    first: tuple[Pipeline, ...] = (),
) -> Placed:
    """Ask for the time at place `asked`, take longer strides until pipelines exist, then bisect.

    Small periods come first: they leave out most stages, and are told to be impossible at once.
    `first` are pipelines to begin with. A question may take half of the time that is left; one that
    is not answered is passed over, so that longer periods, which are easier, have their turn.
    Places before `low` are excluded.
    """
    best, value = first, period_ns(data, first) if first else None
    low, start, stride = 0, 0, 1
    high = len(times) if value is None else _index(times, value)
    while start < high and (now := time.monotonic()) < until:
        found = _within(data, g, times[asked], (now + until) / 2)
        if found.pipelines:
            best, value = found.pipelines, period_ns(data, found.pipelines)
            high = _index(times, value)
        else:
            start = asked + 1
            low = start if found.status == "infeasible" else low
        bisect = (start + high) // 2
        asked = bisect if best != first else min(start + stride, bisect if best else high - 1)
        stride *= 2
    if best and low >= high:
        return Placed("optimal", best, value, value)
    if low >= len(times):
        return Placed("infeasible", (), None, None)
    return Placed("feasible" if best else "unknown", best, value, times[low])


def _times(g: Graph) -> list[int]:
    """Return every period that pipelines can have."""
    return sorted({max(e.ns, g.hop_ns) for e in g.edges})


def _index(times: list[int], value: int) -> int:
    """Return the place of the least time that is at least `value`."""
    return next(i for i, t in enumerate(times) if t >= value)


def _within(data: PlacementData, g: Graph, slowest_ns: int | None, until: float) -> Placed:
    """Return any pipelines without slower stages or hops, or the proof that there are none."""
    m, v = build(data, g, slowest_ns)
    status, _, pipelines = _run(m, v, until)
    return Placed(status, pipelines, None, None)


def _run(m: CpModel, v: Vars, until: float) -> tuple[Status, int, tuple[Pipeline, ...]]:
    """Return the status, the bound on the objective, and the pipelines."""
    solver = CpSolver()
    for name, value in PARAMETERS.items():
        setattr(solver.parameters, name, value)
    solver.parameters.subsolvers.append(STRATEGY)
    solver.parameters.max_time_in_seconds = max(0.0, until - time.monotonic())
    code = solver.solve(m)
    if code not in (OPTIMAL, FEASIBLE):
        status: Status = "infeasible" if code == INFEASIBLE else "unknown"
        return status, 0, ()
    bound = int(solver.best_objective_bound)
    pipelines = [pipeline for row in v.x for pipeline in _walk(v, [solver.value(x) for x in row])]
    return ("optimal" if code == OPTIMAL else "feasible"), bound, tuple(pipelines)


def _walk(v: Vars, times: list[int]) -> Iterator[Pipeline]:
    """Yield the paths of one copy, whose edges occur so many times."""
    left = dict(enumerate(times))
    leaving = defaultdict[Vertex, list[int]](list)
    for i, edge in enumerate(v.edges):
        if times[i]:
            leaving[edge.tail].append(i)
    for row in leaving.values():
        # Stages inside the longest run come before the one that leads out of it.
        row.sort(key=lambda i: v.edges[i].tail != v.edges[i].head)
    for _ in range(v.paths):
        at, layer, stages = v.graph.begin, 0, []
        while at != v.graph.end:
            i = next(i for i in leaving[at] if left[i])
            edge = v.edges[i]
            left[i] -= 1
            if edge.group >= 0:
                stages.append((edge.group, layer, layer + edge.layers))
                layer += edge.layers
            at = edge.head
        yield tuple(stages)


def fastest_rate(
    data: PlacementData, most: int, time_limit_s: float = 60.0
) -> tuple[Placed, float]:
    """Return the pipelines that start the most steps in a second, all at one period; and a bound.

    The number of pipelines is chosen here, from 1 to `most`; `data.pipelines` is not read.

    Args:
        data: the question.
        most: pipelines.
        time_limit_s: for all searches together.

    Returns:
        The best found, and pipelines / period (1/ns) that no such plan exceeds.
    """
    until = time.monotonic() + time_limit_s
    # More than one pipeline: a graph by layer, which serves any number.
    g = graph(replace(data, pipelines=2))
    best, rate, bound = Placed("infeasible", (), None, None), 0.0, 0.0
    for count in range(1, most + 1):
        # Only periods that give more than the best so far are asked for, the longest first.
        times = [t for t in _times(g) if count > rate * t]
        placed = _least_period(replace(data, pipelines=count), g, times, until, len(times) - 1)
        if placed.value is not None:
            best, rate = placed, count / placed.value if placed.value else float("inf")
        if placed.status in ("feasible", "unknown"):
            bound = max(bound, count / max(placed.bound or 0, times[0], 1))
    status: Status = best.status if bound <= rate else "feasible" if best.pipelines else "unknown"
    return replace(best, status=status), max(bound, rate)
