"""Can a spec be met? Asked again and again of specs that differ in an entry or two.

The question is answered in the order of what it costs: is there a legal replica, do bounds allow a
plan, does a plan that is simulated meet the spec. `infeasible` is a proof: no replica, no plan
within the bounds, or every plan within the bounds was simulated and misses. Step tables, bounds and
simulations are remembered: specs that differ in limits and levels share them.
"""

from __future__ import annotations

import math
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Literal

from apex_opt.auditing.guesses import Counts, every, guesses
from apex_opt.cost.shape import Shape
from apex_opt.plan.candidate import Candidate, Drawn
from apex_opt.plan.enumerate import Enumeration, enumerate_replicas
from apex_opt.plan.events import Event, Listen
from apex_opt.plan.features import Features
from apex_opt.plan.levels import counts_goodput
from apex_opt.plan.objective import goal
from apex_opt.plan.optimistic import Optimistic, optimistic
from apex_opt.plan.power import least_w
from apex_opt.plan.predict import measure, play_parts
from apex_opt.plan.problem import Problem, problem
from apex_opt.plan.roles import candidates_of
from apex_opt.plan.search import Tried, best_of, search
from apex_opt.plan.solve import AT_ONCE, longest_request, routings, tried
from apex_opt.plan.use import Part
from apex_opt.sim.member import FleetLog, Role
from apex_opt.sim.replica import EndlessRunError
from apex_opt.solvers.fleet_alone import model_of
from apex_opt.solvers.fleet_space import space
from apex_opt.solvers.fleet_verify import faults
from apex_opt.spec.goals import Objective
from apex_opt.spec.spec import Spec
from apex_opt.trace.traffic import Traffic, traffic

SMALL = 500
"""Plans of a space that is listed whole."""

MOST_PLANS = 120
"""Simulations for one question about a large space."""

FEW = 24
"""Guesses for one question of a bisection about a large space."""

SAMPLE = 24
"""Replicas among which a plan is looked for first, where there are many."""

KEPT_REQUESTS = 2_000_000
"""Requests whose simulated times are remembered, about 100 bytes each."""

KEPT_BOUNDS = 100_000_000
"""Requests times replicas whose bounds are remembered, 16 bytes each."""

Stage = Literal["replica", "bound", "simulation"]


@dataclass(frozen=True)
class Verdict:
    """Whether a spec can be met.

    Attributes:
        status: `infeasible` is proved; `undecided`: no plan was found and none excluded.
        stage: how far the answer was sought: at replicas, at bounds, by simulation.
        found: replicas, legal and not.
        asked: the fleet problem; None where no replica is legal.
        plan: a simulated plan that meets the spec.
        missed: simulated plans that do not.
    """

    status: Literal["feasible", "infeasible", "undecided"]
    stage: Stage
    found: Enumeration
    asked: Problem | None = None
    plan: Tried | None = None
    missed: tuple[Tried, ...] = ()

    @property
    def feasible(self) -> bool:
        """Whether a plan meets the spec."""
        return self.status == "feasible"


class Judge:
    """Answers whether specs of one model can be met, and remembers what they share.

    Args:
        deadline: `time.monotonic()` after which questions stay undecided.
        listen: told of each question.
    """

    def __init__(self, deadline: float, listen: Listen) -> None:
        self.deadline, self.listen = deadline, listen
        self.questions = 0
        self.simulated = 0
        self._traffic: OrderedDict[str, Traffic] = OrderedDict()
        self._replicas: deque[tuple[object, Enumeration]] = deque(maxlen=16)
        self._bounds: dict[tuple[Drawn, Role, int], Optimistic] = {}
        self._bounded = 0
        self._played: OrderedDict[object, FleetLog | None] = OrderedDict()
        self._kept = 0

    @property
    def late(self) -> bool:
        """Whether the time is over."""
        return time.monotonic() > self.deadline

    def traffic(self, spec: Spec) -> Traffic:
        """Return the traffic of a spec."""
        key = self._traffic_key(spec)
        if key not in self._traffic:
            self._traffic[key] = traffic(spec.workload, spec.search.seed, spec.folder, spec.model)
            if len(self._traffic) > 8:
                self._traffic.popitem(last=False)
        return self._traffic[key]

    def replicas(self, spec: Spec) -> Enumeration:
        """Return the replicas of a spec, legal and not; limits and levels have no say in it."""
        longest = longest_request(spec, self.traffic(spec))
        own = (spec.pools, spec.network, spec.quantization, spec.engine, spec.parallelism)
        key = (*own, spec.limits.memory_reserve_fraction, longest)
        known = next((found for at, found in self._replicas if at == key), None)
        if known is None:
            known = enumerate_replicas(spec, longest)
            self._replicas.append((key, known))
        return known

    def ask(self, spec: Spec, most: int = MOST_PLANS) -> Verdict:
        """Return whether a plan meets `spec`; of a large space, at most `most` are simulated."""
        self._count()
        found = self.replicas(spec)
        if not found.legal:
            return Verdict("infeasible", "replica", found)
        candidates = _affordable(spec, found)
        if not candidates:
            return Verdict("infeasible", "bound", found)
        sample = spread(candidates)
        if len(sample) < len(candidates):
            verdict = self._decide(spec, found, sample, 0)
            if verdict.feasible:
                return verdict
        return self._decide(spec, found, candidates, most)

    def glance(self, spec: Spec) -> Verdict | None:
        """Return a verdict that looks at few replicas: of it only `feasible` is to be trusted."""
        self._count()
        found = self.replicas(spec)
        candidates = spread(_affordable(spec, found))
        return self._decide(spec, found, candidates, 0) if candidates else None

    def _count(self) -> None:
        self.questions += 1
        self.listen(Event("asking what would help", self.questions))

    def excludes(self, spec: Spec) -> bool:
        """Whether bounds alone prove that no plan meets `spec`; nothing is simulated."""
        asked = self.problem(_plain(spec))
        return asked is None or self._excluded(asked)

    def problem(
        self, spec: Spec, worth: Callable[[Candidate], bool] = lambda _: True
    ) -> Problem | None:
        """Return the fleet problem of a spec; None where no replica is legal, or within limits.

        Only replicas that are `worth` it are looked at.
        """
        candidates = [c for c in _affordable(spec, self.replicas(spec)) if worth(c)]
        if not candidates:
            return None
        return problem(spec, self.traffic(spec).load, candidates, self._bound)

    def _decide(
        self,
        spec: Spec,
        found: Enumeration,
        candidates: Sequence[Candidate],
        most: int,
    ) -> Verdict:
        """Answer for plans of these candidates; of a large space after guesses and `most` plans."""
        offered = self.traffic(spec)
        asked = problem(_plain(spec), offered.load, candidates, self._bound)
        # Each kind alone makes as many plans as there may be replicas of it.
        small = sum(k.max_count for k in asked.data.kinds) <= SMALL >= space(asked.data)
        missed: list[Tried] = []
        plans = (p for p in every(asked) if not faults(asked.data, p)) if small else guesses(asked)
        if not small and not most:
            plans = islice(plans, FEW)
        for counts in plans:
            if self.late:
                return Verdict("undecided", "simulation", found, asked, None, tuple(missed))
            one = self.play(spec, offered, asked, counts)
            if one.missed is None:
                return Verdict("feasible", "simulation", found, asked, one, tuple(missed))
            missed.append(one)
        if small or (not missed and self._excluded(asked)):
            stage: Stage = "simulation" if missed else "bound"
            return Verdict("infeasible", stage, found, asked, None, tuple(missed))
        if most <= len(missed):
            return Verdict("undecided", "simulation", found, asked, None, tuple(missed))
        return self._search(spec, offered, asked, found, missed, most)

    def _excluded(self, asked: Problem) -> bool:
        """Whether bounds exclude every plan of a large space."""
        left = max(self.deadline - time.monotonic(), 0.05)
        return model_of(asked.data).solve(time_limit_s=left).status == "infeasible"

    def _search(
        self,
        spec: Spec,
        offered: Traffic,
        asked: Problem,
        found: Enumeration,
        missed: list[Tried],
        most: int,
    ) -> Verdict:
        """Answer by the certified search, which ends with a plan, or with nothing left to try."""
        left = (self.deadline - time.monotonic()) / 4
        ended = search(
            asked,
            lambda counts: self.play(spec, offered, asked, counts),
            top_k=1,
            time_limit_s=max(left, 0.0),
            threads=AT_ONCE,
            listen=self.listen,
            gap=math.inf,
            most=most,
        )
        everything = (*missed, *ended.rejected)
        if ended.best:
            return Verdict("feasible", "simulation", found, asked, ended.best[0], everything)
        proved = ended.exhausted
        stage: Stage = "simulation" if everything else "bound"
        return Verdict(
            "infeasible" if proved else "undecided", stage, found, asked, None, everything
        )

    def play(self, spec: Spec, offered: Traffic, asked: Problem, counts: Counts) -> Tried:
        """Return a plan, simulated unless it has been, held against `spec`."""
        ways = routings(spec, asked, counts)
        return best_of(
            goal(spec.objective), [self._play(spec, offered, counts, parts) for parts in ways]
        )

    def _play(self, spec: Spec, offered: Traffic, counts: Counts, parts: tuple[Part, ...]) -> Tried:
        log = self._log(spec, offered, parts)
        if log is None:
            return Tried(
                counts, math.nan, math.nan, "cannot be simulated: its run has no end", None
            )
        return tried(spec, counts, measure(spec, offered.load, parts, log))

    def _log(self, spec: Spec, offered: Traffic, parts: tuple[Part, ...]) -> FleetLog | None:
        """Return the simulation of a plan; None where its run has no end."""
        shapes = tuple(
            (p.candidate.drawn, p.role, p.count, p.weight, p.class_weights, p.up_to_tokens)
            for p in parts
        )
        what = (self._traffic_key(spec), spec.routing.router, shapes)
        if what in self._played:
            return self._played[what]
        self.simulated += 1
        try:
            log = play_parts(spec, offered.load, parts)
        except EndlessRunError:
            log = None
        self._played[what] = log
        self._kept += len(offered.load)
        while self._kept > KEPT_REQUESTS and len(self._played) > 1:
            _, old = self._played.popitem(last=False)
            self._kept -= len(offered.load) if old is None else len(old.replica)
        return log

    def _bound(self, candidate: Candidate, traffic: Features) -> Optimistic:
        """Return the optimistic model of a candidate; lengths alone decide it, not the rate."""
        key = (candidate.drawn, candidate.role, traffic.columns.shape[1])
        if key not in self._bounds:
            if self._bounded > KEPT_BOUNDS:
                self._bounds.clear()
                self._bounded = 0
            self._bounds[key] = optimistic(candidate, traffic)
            self._bounded += traffic.columns.shape[1]
        return self._bounds[key]

    def _traffic_key(self, spec: Spec) -> str:
        return f"{spec.search.seed} {spec.workload.model_dump_json()}"


def _affordable(spec: Spec, found: Enumeration) -> list[Candidate]:
    """Return the legal replicas of which limits and pools allow one."""
    return candidates_of(spec, [one for one in found.legal if affordable(spec, one[0])])


def affordable(spec: Spec, shape: Shape) -> bool:
    """Whether limits and pool allow one replica of this shape, whatever it does."""
    limits = spec.limits
    rows = [
        (limits.devices, shape.devices),
        (limits.budget_per_hour, shape.price_per_hour),
        (limits.power_w, sum(least_w(spec, shape))),
    ]
    drawn = zip(shape.pools(), least_w(spec, shape), strict=True)
    rows += [(pool.power_w, watts) for (pool, _), watts in drawn]
    return all(most is None or taken <= most for most, taken in rows)


def spread(candidates: Sequence[Candidate]) -> list[Candidate]:
    """Return few of many candidates, from the smallest to the largest replica."""
    apart = any(c.role != "mixed" for c in candidates)  # a sample may lack one of the roles
    if apart or len(candidates) <= 2 * SAMPLE:
        return list(candidates)
    order = sorted(candidates, key=lambda c: (c.shape.devices, c.fit.blocks))
    return [order[round(i * (len(order) - 1) / (SAMPLE - 1))] for i in range(SAMPLE)]


def _plain(spec: Spec) -> Spec:
    """Return the spec with an objective that needs no price and asks for small plans first.

    Where goodput is maximised it stays: levels are no limits then.
    """
    if counts_goodput(spec):
        return spec
    few = spec.model_copy(update={"objective": Objective(minimize="devices")})
    return few.placed(spec.folder, spec.lines)
