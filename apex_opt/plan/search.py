"""Simulate and certify: the best plan of a finite space, with the proof that it is.

The fleet model proposes the count vector with the best bound over all vectors not yet simulated. It
is simulated whole; then exactly that vector is cut, and the model is asked again. The first plan is
proved optimal once its simulated value is as good as the bound over everything uncut. Runners-up
differ in kind (devices, formats and degrees of the replicas that a plan uses), so a kind that has a
plan is capped: other counts and settings of it are looked at only if their bound is better.

Where plans need far more than the bounds say, thousands that miss may come before the first that
meets the spec. While there is none, larger fleets of what missed are simulated too. They are plans
like any other, cut from the model; the proof does not lean on them.

Among plans of equal objective the one with the lowest mean end-to-end time is first. Ties and
runners-up are looked for with at most `EXTRA` more simulations once the first plan is proved.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice, product
from typing import TYPE_CHECKING

from apex_opt.plan.climb import climb
from apex_opt.plan.events import Event, Listen
from apex_opt.plan.objective import Goal
from apex_opt.plan.problem import Problem
from apex_opt.plan.seeds import seeds
from apex_opt.plan.sketch import sketch
from apex_opt.solvers.fleet import Answer
from apex_opt.solvers.fleet_models import model_of
from apex_opt.solvers.fleet_verify import faults

if TYPE_CHECKING:
    from apex_opt.plan.predict import Played

Counts = tuple[int, ...]
EXTRA = 48
LEAST_S = 0.05
"""Time in which the model says a bound, be it a loose one."""

CLIMB_AT = 4
"""Plans that miss before larger fleets are tried; twice as many each time that none is found."""

CLIMBS = 4
"""Mixtures from which larger fleets are tried at one time."""

FEW = 16
"""Most replicas of a plan whose smaller numbers are simulated along with it."""

SIBLINGS = 64
"""Most plans of the same degrees and other settings that a plan caps; the rest are simulated."""

TOLERANCE = 1e-5
"""Relative difference under which objectives count as equal. The model counts shares in millionths,
rounded down for each kind of a plan, so its bounds of flow fall short by up to eight of them.
"""


@dataclass(frozen=True)
class Tried:
    """A simulated count vector: its objective, mean end-to-end time, and what it misses.

    Attributes:
        missed: None if it meets the spec, else the first thing that it misses, for people.
        outcome: the simulation; None if it had no end, and then `missed` says so.
    """

    counts: Counts
    objective: float
    e2e_ms: float
    missed: str | None
    outcome: Played | None

    @property
    def kinds(self) -> frozenset[int]:
        """The replicas that it uses."""
        return frozenset(r for r, n in enumerate(self.counts) if n)


@dataclass
class Found:
    """What the search knows at its end.

    Attributes:
        best: the best plan of each kind that meets the spec, best first.
        rejected: simulated plans that do not meet the spec, in order of trial.
        bound: no plan of the space is better than this.
        proved: the first plan is as good as the bound.
        near: its gap to the bound is one with which the search is content.
        exhausted: every plan of the space was simulated or excluded by a bound.
        simulated: plans simulated.
    """

    best: list[Tried] = field(default_factory=list)
    rejected: list[Tried] = field(default_factory=list)
    bound: float = 0.0
    proved: bool = False
    near: bool = False
    exhausted: bool = False
    simulated: int = 0


def better(goal: Goal, a: float, b: float) -> bool:
    """Whether objective `a` is better than `b` by more than the tolerance."""
    slack = TOLERANCE * max(abs(a), abs(b))
    return a > b + slack if goal.maximize else a < b - slack


def as_good(goal: Goal, value: float, bound: float) -> bool:
    """Whether nothing that the bound allows is better than `value`."""
    return not better(goal, bound, value)


def best_of(goal: Goal, tries: Sequence[Tried]) -> Tried:
    """Return the best of several ways to route one count vector; of equal ones the first."""
    best = tries[0]
    for tried in tries[1:]:
        if (tried.missed is None) != (best.missed is None):
            best = tried if tried.missed is None else best
        elif tried.missed is None and (
            better(goal, tried.objective, best.objective)
            or (as_good(goal, tried.objective, best.objective) and tried.e2e_ms < best.e2e_ms)
        ):
            best = tried
    return best


class Search:
    """The loop: propose, simulate, keep, cut."""

    def __init__(
        self,
        problem: Problem,
        play: Callable[[Counts], Tried],
        top_k: int,
        deadline: float,
        threads: int,
        gap: float,
        listen: Listen,
        most: int | None = None,
        start: Sequence[Counts] = (),
        extra: int = EXTRA,
    ) -> None:
        self.problem, self.play, self.top_k, self.most = problem, play, top_k, most
        self.deadline, self.threads, self.gap, self.listen = deadline, threads, gap, listen
        self.model = model_of(problem.data)
        self.found = Found(bound=-math.inf if not problem.goal.maximize else math.inf)
        self.start, self.extra = start, extra
        self.known: set[Counts] = set()
        self.climbed: set[frozenset[int]] = set()
        self.climb_at = CLIMB_AT

    def run(self) -> Found:
        """Search until the answer is proved and the runners-up are known, or time is out."""
        found = self.found
        with ThreadPoolExecutor(self.threads) as pool:
            for counts in (*self.start, *seeds(self.problem)):
                if self._may_go_on():
                    self._meets(counts)
            self._sketch()
            while self._may_go_on():
                proposals = self._propose()
                if self._settled() or not proposals:
                    break
                for tried in pool.map(self.play, proposals):
                    self._keep(tried)
                found.simulated += len(proposals)
                if found.near:
                    self.extra -= len(proposals)
                if not found.best and len(found.rejected) >= self.climb_at:
                    self._climb()
                self._tell()
        if math.isinf(found.bound) and not found.exhausted:
            self._note(self.model.solve(time_limit_s=LEAST_S))  # time was out before it was asked
        return found

    def _sketch(self) -> None:
        """Look for a first plan among a few good kinds, where the fleet model is large."""
        plans = iter(()) if self.found.best else sketch(self.problem)
        missed = [counts for counts in plans if self._may_go_on() and not self._meets(counts)]
        if missed and not self.found.best:
            self._climb()

    def _may_go_on(self) -> bool:
        few = self.most is None or self.found.simulated < self.most
        return few and time.monotonic() < self.deadline

    def _propose(self) -> list[Counts]:
        """Return the next vectors to simulate, cut them, and note the bound of what remains."""
        proposals: list[Counts] = []
        for _ in range(self.threads):
            left = max(self.deadline - time.monotonic(), LEAST_S)
            answer = self.model.solve(time_limit_s=left)
            if not proposals:
                self._note(answer)
            if answer.counts is None or self._settled():
                break
            for counts in (answer.counts, *self._fewer(answer.counts)):
                proposals.append(counts)
                self._exclude(counts)
        return proposals

    def _climb(self) -> None:
        """Look for first plans, mixed and apart, among larger fleets of mixtures that missed."""
        rejected = list(self.found.rejected)
        starts = {t.kinds: t.counts for t in rejected if t.kinds not in self.climbed}
        for apart in (False, True):
            mine = [kinds for kinds in starts if self._apart(kinds) == apart]
            for kinds in mine[:CLIMBS]:
                self.climbed.add(kinds)
                if climb(starts[kinds], self._allowed, self._meets):
                    break
        self.climb_at = 2 * len(self.found.rejected)

    def _apart(self, kinds: frozenset[int]) -> bool:
        """Return whether prefill and decode are apart in plans of these kinds."""
        return any(self.problem.data.kinds[r].role != "mixed" for r in kinds)

    def _allowed(self, counts: Counts) -> bool:
        return self._may_go_on() and not faults(self.problem.data, counts)

    def _meets(self, counts: Counts) -> bool:
        """Return whether a plan meets the spec; simulate it unless it has been."""
        if counts not in self.known:
            self._exclude(counts)
            self._keep(self.play(counts))
            self.found.simulated += 1
            self._tell()
        return all(t.counts != counts for t in self.found.rejected)

    def _exclude(self, counts: Counts) -> None:
        self.known.add(counts)
        self.model.cut(counts)

    def _fewer(self, counts: Counts) -> list[Counts]:
        """Return the same replicas in smaller numbers, where numbers do not enter the objective.

        Their bound is the same then, so they would be proposed next, one by one.
        """
        kinds = self.problem.data.kinds
        used = [r for r, n in enumerate(counts) if n]
        one_a_role = len({kinds[r].role for r in used}) == len(used)
        many = math.prod(counts[r] for r in used)
        if any(kind.fixed for kind in kinds) or not one_a_role or many > FEW:
            return []
        fewer = product(
            *(range(1 + k.spare, n + 1) if n else (0,) for k, n in zip(kinds, counts, strict=True))
        )
        return [c for c in fewer if c not in self.known and c != counts]

    def _note(self, answer: Answer) -> None:
        found, goal = self.found, self.problem.goal
        if answer.status == "infeasible":
            found.exhausted = True
            found.bound = math.inf if not goal.maximize else -math.inf
        elif answer.bound is not None:
            found.bound = self.problem.in_units(answer.bound)
        if found.best and as_good(goal, found.best[0].objective, found.bound):
            found.proved = True
        if found.best and self._gap() <= self.gap:
            found.near = True

    def _gap(self) -> float:
        """Return how far the first plan is from the bound, over its own objective."""
        if self.found.proved:
            return 0.0
        best = self.found.best[0].objective
        return abs(best - self.found.bound) / abs(best) if best else math.inf

    def _settled(self) -> bool:
        """Whether the first plan is near its bound and no uncut plan can join the first `top_k`."""
        found, goal = self.found, self.problem.goal
        if found.exhausted:
            return True
        if not found.near:
            return False
        if self.extra <= 0 or math.isinf(self.gap):
            return True
        full = len(found.best) >= self.top_k
        return full and better(goal, found.best[self.top_k - 1].objective, found.bound)

    def _keep(self, tried: Tried) -> None:
        found = self.found
        if tried.missed is not None:
            found.rejected.append(tried)
            return
        signature = self._signature(tried)
        same = next((t for t in found.best if self._signature(t) == signature), None)
        if same is not None:
            if self._rank(tried) >= self._rank(same):
                return
            found.best.remove(same)
        found.best.append(tried)
        found.best.sort(key=self._rank)
        self._cap_signature(tried, signature)

    def _signature(self, tried: Tried) -> frozenset[int]:
        return frozenset(self.problem.signatures[r] for r in tried.kinds)

    def _cap_signature(self, tried: Tried, signature: frozenset[int]) -> None:
        """Exclude what is no better: other counts, and the same degrees with other settings.

        Other settings of an equal bound stay in: they may be as good and faster.
        """
        value = self._cap(tried.objective)
        loose = value + (-1 if self.problem.goal.maximize else 1)
        members = [
            [r for r, number in enumerate(self.problem.signatures) if number == wanted]
            for wanted in sorted(signature)
        ]
        self.model.cap(tried.kinds, value)
        for choice in islice(product(*members), SIBLINGS):
            if frozenset(choice) != tried.kinds:
                self.model.cap(frozenset(choice), loose)

    def _rank(self, tried: Tried) -> tuple[float, float]:
        """Order by objective, equal ones by mean end-to-end time."""
        value = -tried.objective if self.problem.goal.maximize else tried.objective
        grid = TOLERANCE * 10.0 ** math.floor(math.log10(abs(value))) if value else 1.0
        return round(value / grid) * grid, tried.e2e_ms

    def _cap(self, objective: float) -> int:
        """Return the objective in the model's integers, such that equal bounds are excluded."""
        value = self.problem.in_model(objective)
        return max(0, math.floor(value)) if self.problem.goal.maximize else math.ceil(value)

    def _tell(self) -> None:
        found = self.found
        best = None
        if found.best:
            first = found.best[0]
            best = f"{first.objective:.4g} {self.problem.goal.unit}, bound {found.bound:.4g}"
        self.listen(Event("simulating plans", found.simulated, None, best))


def search(
    problem: Problem,
    play: Callable[[Counts], Tried],
    *,
    top_k: int,
    time_limit_s: float,
    threads: int,
    listen: Listen,
    gap: float = 0.0,
    most: int | None = None,
    start: Sequence[Counts] = (),
    extra: int = EXTRA,
) -> Found:
    """Return the best plans of `problem`; `play` simulates a count vector.

    Args:
        problem: the fleet problem.
        play: simulates the plan with these counts; called from several threads.
        top_k: plans of different kind to look for.
        time_limit_s: time after which the best so far is returned.
        threads: simulations at once.
        listen: told of progress.
        gap: relative difference to the bound with which the search is content; infinite: any plan
            that meets the spec will do, and none beside it is looked for.
        most: simulations after which it stops, but for those under way; None: no limit.
        start: plans of the space that are simulated first.
        extra: simulations for ties and runners-up once the first plan is proved.
    """
    deadline = time.monotonic() + time_limit_s
    return Search(problem, play, top_k, deadline, threads, gap, listen, most, start, extra).run()
