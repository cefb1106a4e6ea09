"""How much a plan carries: the highest rate, or number of clients, that keeps its service levels.

The traffic of a spec is played faster and faster: the same requests in the same order, all times of
arrival divided by a number (pauses in sessions stay as they are), so that two rates differ by
nothing but the rate. In a closed loop the clients become more. `apex_opt.plan.highest` says how the
limit is looked for, and what is done about levels that are not monotone in the rate. Each seed of
the traffic gives a value of its own; their mean is told with a confidence interval.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from statistics import fmean

import numpy as np

from apex_opt.errors import CallError
from apex_opt.plan.capacity_result import Capacity, Interval, SeedCapacity
from apex_opt.plan.events import Event, Listen
from apex_opt.plan.highest import highest
from apex_opt.plan.ladder import Ladder, at_once, clients, rates
from apex_opt.plan.levels import request_limits_ns, statistic_levels
from apex_opt.plan.needs import require_figures
from apex_opt.plan.predict import Run, play
from apex_opt.plan.simulate import Choice
from apex_opt.plan.student import interval
from apex_opt.plan.tell import deployments_of, why_missed
from apex_opt.plan.use import Part
from apex_opt.sim.load import Load
from apex_opt.sim.replica import EndlessRunError
from apex_opt.spec.goals import Objective
from apex_opt.spec.spec import Spec
from apex_opt.trace.traffic import Traffic, traffic
from apex_opt.version import VERSION

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Accuracy:
    """How well the limit is known.

    Attributes:
        tolerance: the load that holds and one that does not differ by this share at most.
        seeds: how many draws of the traffic are played.
    """

    tolerance: float = 0.01
    seeds: int = 5

    def check(self) -> None:
        """Refuse what cannot be.

        Raises:
            CallError: it cannot.
        """
        if not 1e-6 <= self.tolerance < 1:
            raise CallError(f"tolerance: must be from 1e-6 to below 1, got {self.tolerance:g}")
        if not 1 <= self.seeds <= 1000:
            raise CallError(f"seeds: must be from 1 to 1,000, got {self.seeds}")


@dataclass(frozen=True)
class Draw:
    """The traffic of one seed; the spec has this seed."""

    seed: int
    spec: Spec
    offered: Traffic


def capacity(spec: Spec, choice: Choice, accuracy: Accuracy, listen: Listen) -> Capacity:
    """Return the highest load at which a plan keeps the service levels of `spec`.

    Raises:
        CallError: the spec asks for no level, or no load breaks one; or see `Choice`.
    """
    accuracy.check()
    choice.check()
    require_levels(spec)
    require_figures(spec)
    listen(Event("reading traffic", 0, None, None))
    draws = drawn(_bound_by_levels(spec), accuracy.seeds)
    parts = choice.parts(spec, [draw.offered for draw in draws])
    found: list[SeedCapacity] = []
    for draw in draws:
        phase = f"seed {len(found) + 1} of {len(draws)}, loads played"
        best = f"{found[-1].value:.4g} with the seed before" if found else None

        def heard(runs: int, phase: str = phase, best: str | None = best) -> None:
            listen(Event(phase, runs, None, best))

        found.append(of_seed(draw, parts, choice.run(), accuracy.tolerance, heard))
    return _told(spec, choice, parts, draws, accuracy, found)


def require_levels(spec: Spec) -> None:
    """Refuse a spec that asks for no service level: any rate would keep them.

    Raises:
        CallError: it is such.
    """
    if not statistic_levels(spec.slo) and not request_limits_ns(spec.slo):
        raise CallError(
            "slo: capacity is how much keeps the service levels, and the spec has none; write for "
            "example `ttft_ms = { p99 = 1000 }` under [slo]"
        )


def _bound_by_levels(spec: Spec) -> Spec:
    """Return the spec with levels that are limits, also where its own aim is to meet many."""
    if spec.objective.maximize != "goodput":
        return spec
    changed = spec.model_copy(update={"objective": Objective(minimize="latency")})
    return changed.placed(spec.folder, spec.lines)


def drawn(spec: Spec, seeds: int) -> list[Draw]:
    """Return the traffic of the spec's seed and of those that follow; one, if it follows none."""
    first = spec.search.seed if spec.workload.seed is None else spec.workload.seed
    draws: list[Draw] = []
    for seed in range(first, first + seeds):
        workload = spec.workload.model_copy(update={"seed": seed})
        own = spec.model_copy(update={"workload": workload}).placed(spec.folder, spec.lines)
        draws.append(Draw(seed, own, traffic(workload, seed, spec.folder, spec.model)))
        if len(draws) == 2 and alike(draws[0].offered.load, draws[1].offered.load):
            return draws[:1]
    return draws


def alike(one: Load, other: Load) -> bool:
    """Whether two loads have the same requests; prefixes are told by their numbers."""
    names = [field.name for field in fields(Load) if field.name not in {"prefixes", "concurrency"}]
    return all(np.array_equal(getattr(one, name), getattr(other, name)) for name in names)


def of_seed(
    draw: Draw, parts: Sequence[Part], run: Run, tolerance: float, heard: Callable[[int], None]
) -> SeedCapacity:
    """Return what a plan carries of one draw of the traffic.

    Args:
        draw: the traffic.
        parts: the plan.
        run: how it is played.
        tolerance: loads that differ by this share are near enough.
        heard: told of each load that is played, with how many were before.

    Raises:
        CallError: no load breaks a level.
    """
    ladder = _ladder(draw, parts, run, tolerance)
    runs = iter(range(10**9))

    def missed(load: float) -> str | None:
        heard(next(runs))
        return why_not(draw.spec, ladder.at(load), parts, run)

    found = highest(missed, ladder.grid, ladder.between)
    if found.fails_at is None:
        raise CallError(
            f"workload.requests: {len(draw.offered.load):,} requests keep every level even at "
            f"{found.value:,.4g} {'clients' if draw.offered.load.concurrency else 'a second'}, "
            "so that they show no limit; ask for more"
        )
    return SeedCapacity(
        seed=draw.seed,
        value=found.value,
        scale=found.value / ladder.own,
        fails_at=found.fails_at,
        missed=found.missed,
        runs=found.runs,
    )


def _ladder(draw: Draw, parts: Sequence[Part], run: Run, tolerance: float) -> Ladder:
    if draw.offered.load.concurrency:
        return clients(draw.offered, tolerance)
    try:
        burst = play(draw.spec, at_once(draw.offered.load), parts, run)
    except EndlessRunError:  # another rate may still be played
        return rates(draw.offered, 0.0, tolerance)
    return rates(draw.offered, burst.prediction.requests_per_s, tolerance)


def why_not(spec: Spec, load: Load, parts: Sequence[Part], run: Run) -> str | None:
    """Return the first service level that a plan misses under a load, None if it keeps all."""
    try:
        missed = play(spec, load, parts, run).missed
    except EndlessRunError:
        return "cannot be simulated: sequences preempt each other for ever"
    return None if missed is None else why_missed(missed)


def _told(
    spec: Spec,
    choice: Choice,
    parts: Sequence[Part],
    draws: Sequence[Draw],
    accuracy: Accuracy,
    found: Sequence[SeedCapacity],
) -> Capacity:
    values = [one.value for one in found]
    mean, closed = fmean(values), draws[0].offered.load.concurrency > 0
    deployments, notes = deployments_of(spec, parts), list[str]()
    if len(found) < accuracy.seeds:
        notes.append("the traffic is the same with any seed: one was played")
    span = interval(values, CONFIDENCE) if len(values) > 1 else None
    return Capacity(
        apexopt_version=VERSION,
        model=spec.model.name,
        plan=" + ".join(f"{d.count} x {d.replica.label}" for d in deployments),
        deployments=deployments,
        router=choice.run().router or spec.routing.router,
        devices=sum(part.devices for part in parts),
        cost_per_hour=sum(p.count * p.candidate.price_per_hour for p in parts),
        traffic=draws[0].offered.description,
        rate_rps=None if closed else mean,
        concurrency=mean if closed else None,
        interval=None if span is None else _interval(span),
        tolerance=accuracy.tolerance,
        seeds=tuple(found),
        notes=tuple(notes),
    )


def _interval(span: tuple[float, float]) -> Interval:
    return Interval(confidence=CONFIDENCE, low=max(span[0], 0.0), high=span[1])
