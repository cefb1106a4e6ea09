"""Can a spec be met? Asked again and again of specs that differ in an entry or two.

The question is answered in the order of what it costs: is there a legal replica, do bounds allow a
plan, does a plan that is simulated meet the spec. `infeasible` is a proof: no replica, no plan
within the bounds, or every plan within the bounds was simulated and misses. Step tables, bounds and
simulations are remembered: specs that differ in limits and levels share them.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain, islice
from typing import Literal

from apex_opt.auditing.guesses import Counts, every, guesses, singles
from apex_opt.auditing.looked_at import paired, spread, within
from apex_opt.auditing.memory import Memory
from apex_opt.auditing.other import kind, kinds_of, taken_over
from apex_opt.plan.candidate import Candidate
from apex_opt.plan.enumerate import Enumeration
from apex_opt.plan.events import Event, Listen
from apex_opt.plan.levels import counts_goodput
from apex_opt.plan.likely import between, frugal, short_of_power
from apex_opt.plan.problem import Problem, problem
from apex_opt.plan.search import Search
from apex_opt.plan.solve import AT_ONCE
from apex_opt.plan.tried import Tried
from apex_opt.solvers.fleet_alone import alone, possible
from apex_opt.solvers.fleet_listed import few
from apex_opt.solvers.fleet_models import model_of
from apex_opt.solvers.fleet_verify import faults
from apex_opt.spec.goals import Objective
from apex_opt.spec.spec import Spec
from apex_opt.trace.traffic import Traffic

SMALL = 500
"""Plans of a space that is listed whole."""

MOST_PLANS = 120
"""Simulations for one question about a large space."""

BUDGET = 600
"""Simulations of an audit, beside those of questions without limit, after which a question about a
large space has only `FEW`.
"""

NO_LIMIT = 2**62
"""Simulations for a question that only time ends."""

FEW = 24
"""Guesses for one question of a bisection about a large space; plans to simulate of a listed one.
"""

MANY = 96
"""Replicas from which on a sample of them is looked at first although power is short: among fewer
those that draw little are found as soon.
"""

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
        deadline: `time.monotonic()` after which questions stay undecided; infinite: the clock has
            no say in any answer.
        listen: told of each question.
    """

    def __init__(self, deadline: float, listen: Listen) -> None:
        self.deadline, self.listen = deadline, listen
        self.questions = self._unlimited = 0
        self.memory = Memory()

    @property
    def simulated(self) -> int:
        """Plans simulated."""
        return self.memory.simulated

    def traffic(self, spec: Spec) -> Traffic:
        """Return the traffic of a spec."""
        return self.memory.traffic(spec)

    def replicas(self, spec: Spec) -> Enumeration:
        """Return the replicas of a spec, legal and not; limits and levels have no say in it."""
        return self.memory.replicas(spec)

    def play(self, spec: Spec, offered: Traffic, asked: Problem, counts: Counts) -> Tried:
        """Return a plan, simulated unless it has been, held against `spec`."""
        return self.memory.play(spec, offered, asked, counts)

    @property
    def late(self) -> bool:
        """Whether the time is over."""
        return time.monotonic() > self.deadline

    def ask(self, spec: Spec, most: int = MOST_PLANS, like: Tried | None = None) -> Verdict:
        """Return whether a plan meets `spec`; of a large space, at most `most` are simulated.

        A plan of a spec that is almost the same may be tried first.
        """
        if most == NO_LIMIT:
            before = self.simulated
            verdict = self._asked(spec, most, like)
            self._unlimited += self.simulated - before
            return verdict
        return self._asked(
            spec, min(most, max(FEW, BUDGET + self._unlimited - self.simulated)), like
        )

    def _asked(self, spec: Spec, most: int, like: Tried | None) -> Verdict:
        self._count()
        if self.late:
            return Verdict("undecided", "bound", Enumeration((), {}))
        found = self.replicas(spec)
        if not found.legal:
            return Verdict("infeasible", "replica", found)
        candidates = self._within(spec)
        if not candidates:
            return Verdict("infeasible", "bound", found)
        again = None if like is None else self.again(spec, [like])
        if again is not None:
            return again
        sample = spread(candidates)
        tried: tuple[Tried, ...] = ()
        if len(sample) < len(candidates) and not self._pinched(spec, candidates):
            verdict = self._decide(spec, found, sample, 0)
            if verdict.feasible:
                return verdict
            tried = verdict.missed
        return self._decide(spec, found, candidates, most, tried)

    def _pinched(self, spec: Spec, candidates: Sequence[Candidate]) -> bool:
        """Whether limits, of which one is on power, leave out some replicas, and few are left."""
        limited = any(
            w is not None for w in (spec.limits.power_w, *(p.power_w for p in spec.pools))
        )
        return limited and len(candidates) < min(len(self.memory.candidates(spec)), MANY)

    def again(self, spec: Spec, plans: Sequence[Tried]) -> Verdict | None:
        """Return that one of these plans of other specs meets `spec`; None where none does."""
        mine = {kind for plan in plans for kind in kinds_of(plan)}
        candidates = paired([one for one in self._within(spec) if kind(one) in mine])
        if not candidates:
            return None
        found, offered = self.replicas(spec), self.traffic(spec)
        asked = problem(_plain(spec), offered.load, candidates, self.memory.bound)
        for plan in plans:
            same = taken_over(asked, plan)
            if same is not None and not faults(asked.data, same.counts):
                one = self.play(spec, offered, asked, same.counts)
                if one.missed is None:
                    return Verdict("feasible", "simulation", found, asked, one)
        return None

    def glance(self, spec: Spec) -> Verdict | None:
        """Return a verdict that looks at few replicas: of it only `feasible` is to be trusted."""
        self._count()
        found = self.replicas(spec)
        candidates = spread(self._within(spec))
        return self._decide(spec, found, candidates, 0) if candidates else None

    def _within(self, spec: Spec) -> list[Candidate]:
        """Return the legal replicas of which limits and pools allow one."""
        return within(spec, self.memory.candidates(spec))

    def _count(self) -> None:
        self.questions += 1
        self.listen(Event("asking what would help", self.questions))

    def excludes(self, spec: Spec) -> bool:
        """Whether bounds alone prove that no plan meets `spec`; nothing is simulated."""
        if self.late:
            return False
        asked = self.problem(_plain(spec))
        return asked is None or self._excluded(asked)

    def problem(
        self, spec: Spec, worth: Callable[[Candidate], bool] = lambda _: True
    ) -> Problem | None:
        """Return the fleet problem of a spec; None where no replica is legal, or within limits.

        Only replicas that are `worth` it are looked at.
        """
        candidates = paired([c for c in self._within(spec) if worth(c)])
        if not candidates:
            return None
        return problem(spec, self.traffic(spec).load, candidates, self.memory.bound)

    def _decide(
        self,
        spec: Spec,
        found: Enumeration,
        candidates: Sequence[Candidate],
        most: int,
        tried: Sequence[Tried] = (),
    ) -> Verdict:
        """Answer for plans of these candidates; of a large space after guesses and `most` plans.

        Plans that were `tried` among fewer candidates missed the spec.
        """
        offered = self.traffic(spec)
        asked = problem(_plain(spec), offered.load, candidates, self.memory.bound)
        plans, whole = self._plans(spec, asked, most)
        missed = [] if whole else [plan for one in tried if (plan := taken_over(asked, one))]
        known = {plan.counts for plan in missed}
        for counts in chain(self._pressed(spec, offered, asked), plans):
            if counts in known:
                continue
            known.add(counts)
            if self.late:
                return Verdict("undecided", "simulation", found, asked, None, tuple(missed))
            one = self.play(spec, offered, asked, counts)
            if one.missed is None:
                return Verdict("feasible", "simulation", found, asked, one, tuple(missed))
            missed.append(one)
        if whole or (not missed and self._excluded(asked)):
            stage: Stage = "simulation" if missed else "bound"
            return Verdict("infeasible", stage, found, asked, None, tuple(missed))
        if most <= len(missed):
            return Verdict("undecided", "simulation", found, asked, None, tuple(missed))
        return self._search(spec, offered, asked, found, missed, most)

    def _plans(self, spec: Spec, asked: Problem, most: int) -> tuple[Iterable[Counts], bool]:
        """Return plans to simulate, and whether they are all of the space that bounds leave.

        Of a large space: good guesses, a few of them where nothing (`most` = 0) is to follow.
        """
        data = asked.data
        if alone(data):
            left = singles(asked, 2 * SMALL)
            if left is not None and self._all_but(spec, asked, left, max(most, FEW)):
                inside = set(left)
                likely = (plan for plan in guesses(asked) if plan in inside)
                return dict.fromkeys((*likely, *left)), True
        elif few(data, SMALL):
            return (p for p in every(data) if not faults(data, p)), True
        if most:
            return guesses(asked), False
        # Where power is limited, better ones come before (`_pressed`).
        return () if short_of_power(asked) else islice(guesses(asked), FEW), False

    def _pressed(self, spec: Spec, offered: Traffic, asked: Problem) -> Iterator[Counts]:
        """Yield plans of few kinds where power is limited: as many replicas of each as may do."""
        play = partial(self.play, spec, offered, asked)
        for r in frugal(asked) if short_of_power(asked) else ():
            yield from (one.counts for one in between(asked, r, play))

    def _all_but(self, spec: Spec, asked: Problem, plans: Sequence[Counts], most: int) -> bool:
        """Whether all of these plans have been simulated but so many at most."""
        new = (plan for plan in plans if not self.memory.knows(spec, asked, plan))
        return next(islice(new, most, None), None) is None

    def _excluded(self, asked: Problem) -> bool:
        """Whether bounds exclude every plan of a large space."""
        if any(possible(asked.data, r) for r in range(len(asked.data.kinds))):
            return False
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
        ended = Search(
            asked,
            lambda counts: self.play(spec, offered, asked, counts),
            top_k=1,
            time_limit_s=max(left, 0.0),
            threads=AT_ONCE,
            listen=self.listen,
            gap=math.inf,
            most=most,
        ).run()
        everything = tuple({one.counts: one for one in (*missed, *ended.rejected)}.values())
        if ended.best:
            return Verdict("feasible", "simulation", found, asked, ended.best[0], everything)
        proved = ended.exhausted
        stage: Stage = "simulation" if everything else "bound"
        return Verdict(
            "infeasible" if proved else "undecided", stage, found, asked, None, everything
        )


def _plain(spec: Spec) -> Spec:
    """Return the spec with an objective that needs no price and asks for small plans first.

    Where goodput is maximised it stays: levels are no limits then.
    """
    if counts_goodput(spec):
        return spec
    few = spec.model_copy(update={"objective": Objective(minimize="devices")})
    return few.placed(spec.folder, spec.lines)
