"""The searches behind a front, which share all that they can: no plan is simulated twice.

Each search goes on from what the others have simulated: those plans are cut from its model at once,
and the best of them that lies in its window is its first plan. Replicas, step tables and optimistic
models are those of one spec, whatever is sought.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from apex_opt.plan.band import banded
from apex_opt.plan.candidate import Candidate
from apex_opt.plan.events import Listen
from apex_opt.plan.features import Features
from apex_opt.plan.levels import counts_goodput
from apex_opt.plan.optimistic import Optimistic, optimistic
from apex_opt.plan.pareto_axis import Axis
from apex_opt.plan.pareto_window import Window, narrowed
from apex_opt.plan.predict import Played, play
from apex_opt.plan.problem import Problem, problem
from apex_opt.plan.result import Plan
from apex_opt.plan.search import Search
from apex_opt.plan.solve import AT_ONCE, content_with, legal_candidates, routings, tried
from apex_opt.plan.tell import plan_of_parts, sound, verified
from apex_opt.plan.tried import Counts, Found, Tried, best_of
from apex_opt.plan.use import Part
from apex_opt.sim.replica import EndlessRunError
from apex_opt.spec.goals import Objective
from apex_opt.spec.spec import Spec
from apex_opt.trace.traffic import Traffic

MOST_PLANS = 150
"""Simulations of one search: what is not proved then is told with its gap."""

MORE = 24
"""Simulations after the first plan is near its bound."""

FOREVER_S = 1e12


class Continued(Search):
    """A search that begins with plans that others have simulated, and ends with its first proof."""

    def begin(self, known: Iterable[Tried]) -> None:
        """Take over simulated plans; only those that meet the spec, in the window, may be best."""
        for one in known:
            self._exclude(one.counts)
            if one.missed is None:
                self._keep(one)

    def _meets(self, counts: Counts) -> bool:
        """Return whether a plan meets the spec; with one in hand no first one is looked for."""
        return bool(self.found.best) or super()._meets(counts)

    def _settled(self) -> bool:
        """Whether the first plan is proved, or near its bound for long enough."""
        found = self.found
        return found.exhausted or found.proved or (found.near and self.extra <= 0)


@dataclass(frozen=True)
class Shown:
    """A simulated plan and its values on both axes; not a number where it cannot be simulated."""

    counts: Counts
    sought: float
    limited: float
    e2e_ms: float
    missed: str | None
    outcome: Played | None


class Shared:
    """What the searches of a front share.

    Attributes:
        spec: the spec, with the objective that decides which plans meet it.
        sought, limited: the axes.
        shown: simulated plans.
    """

    def __init__(
        self, spec: Spec, offered: Traffic, axes: tuple[Axis, Axis], deadline: float, listen: Listen
    ) -> None:
        self.sought, self.limited = axes
        self.spec, self.offered = judging(spec, axes), offered
        self.deadline, self.listen = deadline, listen
        self.candidates = legal_candidates(spec, offered)
        self.shown: dict[Counts, tuple[Shown, ...]] = {}
        self._bounds: dict[int, Optimistic] = {}
        self.problems = {axis.name: self._problem(axis) for axis in axes}

    def search(self, axis: Axis, window: Window | None, share: float) -> Found:
        """Return the outcome of looking for the best of one axis in a window of the limited one.

        Args:
            axis: what is sought.
            window: where.
            share: of the time that is left.
        """
        asked = self.problems[axis.name]
        run = Continued(
            narrowed(asked, self.spec, window),
            lambda counts: self._best(self._play(counts), axis, window),
            top_k=1,
            time_limit_s=(self.deadline - time.monotonic()) * share,
            threads=AT_ONCE,
            listen=self.listen,
            gap=content_with(self.spec.model_copy(update={"objective": axis.objective})),
            most=MOST_PLANS,
            extra=MORE,
        )
        # Threads end in any order: sorted, the same spec gives the same front.
        run.begin(self._best(self.shown[c], axis, window) for c in sorted(self.shown))
        return run.run()

    def plans(self, window: Window | None = None) -> list[Shown]:
        """Return the simulated plans that meet the spec, in a window."""
        return [
            one
            for counts in sorted(self.shown)
            for one in self.shown[counts]
            if one.missed is None and (window is None or window.allows(one.limited))
        ]

    def told(self, one: Shown, rank: int) -> Plan:
        """Return a simulated plan as the result tells it, once the verifier has looked at it."""
        seen = self._tried(one, self.sought, None)
        played = verified(self.problems[self.sought.name], seen)
        banded_one = banded(self.spec, self.offered.load, played)
        return sound(self.spec, plan_of_parts(self.spec, banded_one, rank))

    def _play(self, counts: Counts) -> tuple[Shown, ...]:
        """Return the plans with these counts, one a routing."""
        if counts not in self.shown:
            ways = routings(self.spec, self.problems[self.sought.name], counts)
            self.shown[counts] = tuple(self._simulated(counts, parts) for parts in ways)
        return self.shown[counts]

    def _best(self, ones: Sequence[Shown], axis: Axis, window: Window | None) -> Tried:
        return best_of(axis.goal, [self._tried(one, axis, window) for one in ones])

    def _simulated(self, counts: Counts, parts: tuple[Part, ...]) -> Shown:
        try:
            played = play(self.spec, self.offered.load, parts)
        except EndlessRunError as why:
            missed = f"cannot be simulated: {why}"
            return Shown(counts, math.nan, math.nan, math.nan, missed, None)
        one, devices = tried(self.spec, counts, played), sum(p.devices for p in parts)
        a, b = (x.goal.value(played.prediction, devices) for x in (self.sought, self.limited))
        return Shown(counts, a, b, one.e2e_ms, one.missed, played)

    def _tried(self, one: Shown, axis: Axis, window: Window | None) -> Tried:
        """Return a simulated plan as a search for `axis` in `window` sees it."""
        missed = one.missed
        if missed is None and window is not None and not window.allows(one.limited):
            missed = f"outside: {self.limited.name} {one.limited:.6g}"
        value = one.sought if axis == self.sought else one.limited
        return Tried(one.counts, value, one.e2e_ms, missed, one.outcome)

    def _problem(self, axis: Axis) -> Problem:
        """Return the fleet problem in which an axis is sought."""
        spec = self.spec.model_copy(update={"objective": axis.objective})
        if counts_goodput(self.spec) and not counts_goodput(spec):
            spec = lenient(spec)
        asked = problem(spec, self.offered.load, self.candidates, self._bound)
        if axis.bounded:
            return replace(asked, goal=axis.goal)
        free = tuple(
            replace(kind, fixed=0, flow=(0,) * len(kind.flow)) for kind in asked.data.kinds
        )
        return replace(asked, goal=axis.goal, data=replace(asked.data, kinds=free))

    def _bound(self, candidate: Candidate, features: Features) -> Optimistic:
        """Return the optimistic model of a candidate, the same whatever is sought."""
        if id(candidate) not in self._bounds:
            self._bounds[id(candidate)] = optimistic(candidate, features)
        return self._bounds[id(candidate)]


def judging(spec: Spec, axes: tuple[Axis, Axis]) -> Spec:
    """Return the spec with the objective under which plans meet it or not.

    Where goodput is an axis, limits on each request say what counts and exclude no plan, as in a
    spec that maximises it.
    """
    goodput = any(axis.name == "goodput" for axis in axes)
    objective = Objective(maximize="goodput") if goodput else axes[0].objective
    return spec.model_copy(update={"objective": objective})


def lenient(spec: Spec) -> Spec:
    """Return the spec without what is no constraint where goodput counts.

    Its bounds then hold for plans that miss limits on each request, or drain for long.
    """
    tables = {
        metric: None
        for metric in ("ttft_ms", "tpot_ms", "itl_ms", "e2e_ms")
        if isinstance(getattr(spec.slo, metric), float)
    }
    slo = spec.slo.model_copy(update={**tables, "attainment": 0.0, "drain_s": FOREVER_S})
    return spec.model_copy(update={"slo": slo})
