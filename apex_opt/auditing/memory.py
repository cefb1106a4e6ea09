"""What questions of an audit share: traffic, replicas, bounds and simulations, each made once."""

from __future__ import annotations

import math
from collections import OrderedDict, deque
from dataclasses import dataclass, field, replace

from apex_opt.auditing.guesses import Counts
from apex_opt.cost.drawn import Drawn
from apex_opt.plan.candidate import Candidate
from apex_opt.plan.enumerate import Enumeration, enumerate_replicas
from apex_opt.plan.features import Features
from apex_opt.plan.objective import goal
from apex_opt.plan.optimistic import Optimistic, bounded
from apex_opt.plan.power import rows_for
from apex_opt.plan.predict import measure, play_parts
from apex_opt.plan.problem import Problem
from apex_opt.plan.result import Prediction
from apex_opt.plan.roles import candidates_of
from apex_opt.plan.solve import longest_request, routings, tried
from apex_opt.plan.step_floors import StepFloors, step_floors
from apex_opt.plan.tried import Tried, best_of
from apex_opt.plan.use import Part
from apex_opt.sim.member import FleetLog, Role
from apex_opt.sim.replica import EndlessRunError
from apex_opt.spec.spec import Spec
from apex_opt.trace.traffic import Traffic, traffic

KEPT_REQUESTS = 2_000_000
"""Requests whose simulated times are remembered, about 100 bytes each."""

KEPT_BOUNDS = 100_000_000
"""Requests times replicas whose bounds are remembered, 16 bytes each."""

UNHELD = {"model", "engine", "quantization", "parallelism", "workload", "search"}
"""Tables of a spec that a simulated plan is not held against: they decide what is simulated."""


@dataclass
class _Run:
    """A simulated plan.

    Attributes:
        log: None where its run has no end.
        shown: what it predicts; latencies do not change with levels and limits.
        tried: what it is worth, by the levels and limits that it was held against.
    """

    log: FleetLog | None
    requests: int
    shown: Prediction | None = None
    tried: dict[str, Tried] = field(default_factory=dict)


@dataclass(frozen=True)
class _Known:
    """The replicas of specs whose pools, engine, formats and degrees are `key`."""

    key: object
    found: Enumeration
    candidates: tuple[Candidate, ...]


class Memory:
    """Remembers what specs of one model share that differ in an entry or two."""

    def __init__(self) -> None:
        self.simulated = 0
        self._last: tuple[Spec, str, str] | None = None
        self._traffic: OrderedDict[str, Traffic] = OrderedDict()
        self._replicas: deque[_Known] = deque(maxlen=16)
        self._floors: dict[tuple[Drawn, Role], StepFloors] = {}
        self._bounds: dict[tuple[Drawn, Role, object], Optimistic] = {}
        self._bounded = 0
        self._played: OrderedDict[object, _Run] = OrderedDict()
        self._kept = 0

    def traffic(self, spec: Spec) -> Traffic:
        """Return the traffic of a spec."""
        key, _ = self._keys(spec)
        if key not in self._traffic:
            self._traffic[key] = traffic(spec.workload, spec.search.seed, spec.folder, spec.model)
            if len(self._traffic) > 8:
                self._traffic.popitem(last=False)
        return self._traffic[key]

    def replicas(self, spec: Spec) -> Enumeration:
        """Return the replicas of a spec, legal and not; limits and levels have no say in it."""
        return self._known(spec).found

    def candidates(self, spec: Spec) -> tuple[Candidate, ...]:
        """Return the legal replicas of a spec in their roles."""
        return self._known(spec).candidates

    def _known(self, spec: Spec) -> _Known:
        longest = longest_request(spec, self.traffic(spec))
        own = (spec.pools, spec.network, spec.quantization, spec.engine, spec.parallelism)
        key = (*own, spec.limits.memory_reserve_fraction, longest)
        known = next((one for one in self._replicas if one.key == key), None)
        if known is None:
            found = enumerate_replicas(spec, longest, reasons=False)
            known = _Known(key, found, tuple(candidates_of(spec, found.legal)))
            self._replicas.append(known)
        return known

    def play(self, spec: Spec, offered: Traffic, asked: Problem, counts: Counts) -> Tried:
        """Return a plan, simulated unless it has been, held against `spec`."""
        ways = routings(spec, asked, counts)
        return best_of(
            goal(spec.objective), [self._play(spec, offered, counts, parts) for parts in ways]
        )

    def knows(self, spec: Spec, asked: Problem, counts: Counts) -> bool:
        """Whether a plan has been simulated under the traffic of `spec`."""
        ways = routings(spec, asked, counts)
        return all(self._what(spec, parts) in self._played for parts in ways)

    def _play(self, spec: Spec, offered: Traffic, counts: Counts, parts: tuple[Part, ...]) -> Tried:
        _, limits = self._keys(spec)
        run = self._run(spec, offered, parts)
        if limits not in run.tried:
            run.tried[limits] = self._held(spec, offered, counts, parts, run)
        return replace(run.tried[limits], counts=counts)

    def _held(
        self, spec: Spec, offered: Traffic, counts: Counts, parts: tuple[Part, ...], run: _Run
    ) -> Tried:
        """Return what a simulated plan is worth, held against `spec`."""
        if run.log is None:
            why = "cannot be simulated: its run has no end"
            return Tried(counts, math.nan, math.nan, why, None)
        played = measure(spec, offered.load, parts, run.log, known=run.shown)
        run.shown = played.prediction
        return tried(spec, counts, played)

    def _what(self, spec: Spec, parts: tuple[Part, ...]) -> object:
        """Return what decides a simulation: traffic, router and replicas, no limit and no level."""
        shapes = tuple(
            (p.candidate.drawn, p.role, p.count, p.weight, p.class_weights, p.up_to_tokens)
            for p in parts
        )
        rows = rows_for(
            spec, self.traffic(spec).load, sum(part.count * part.ranks for part in parts)
        )
        return (self._keys(spec)[0], spec.routing.router, rows, shapes)

    def _run(self, spec: Spec, offered: Traffic, parts: tuple[Part, ...]) -> _Run:
        """Return the simulation of a plan."""
        what = self._what(spec, parts)
        run = self._played.get(what)
        if run is None:
            self.simulated += 1
            run = _Run(_simulated(spec, offered, parts), len(offered.load))
            self._played[what] = run
            self._kept += run.requests
            while self._kept > KEPT_REQUESTS and len(self._played) > 1:
                self._kept -= self._played.popitem(last=False)[1].requests
        return run

    def bound(self, candidate: Candidate, traffic: Features) -> Optimistic:
        """Return the optimistic model of a candidate; lengths and pace decide it, not the rate."""
        what = (traffic.columns.shape[1], traffic.totals, traffic.pace_ns)
        one = (candidate.drawn, candidate.role)
        key = (*one, what)
        if key not in self._bounds:
            if self._bounded > KEPT_BOUNDS:
                self._bounds.clear()
                self._bounded = 0
            if one not in self._floors:
                self._floors[one] = step_floors(candidate)
            self._bounds[key] = bounded(self._floors[one], traffic)
            self._bounded += traffic.columns.shape[1]
        return self._bounds[key]

    def _keys(self, spec: Spec) -> tuple[str, str]:
        """Return what decides the traffic of a spec, and what a plan is held against."""
        if self._last is None or self._last[0] is not spec:
            offered = f"{spec.search.seed} {spec.workload.model_dump_json()}"
            prices = spec.quantization.usd_per_million_tokens
            limits = f"{spec.model_dump_json(exclude=UNHELD)} {prices}"
            self._last = spec, offered, limits
        return self._last[1:]


def _simulated(spec: Spec, offered: Traffic, parts: tuple[Part, ...]) -> FleetLog | None:
    """Return the simulation of a plan; None where its run has no end."""
    try:
        return play_parts(spec, offered.load, parts)
    except EndlessRunError:
        return None
