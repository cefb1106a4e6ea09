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
from dataclasses import KW_ONLY, dataclass, field, replace
from functools import partial
from itertools import islice, product

from apex_opt.plan.climb import Climber
from apex_opt.plan.events import Event, Listen
from apex_opt.plan.likely import between, frugal, short_of_power
from apex_opt.plan.problem import Problem
from apex_opt.plan.seeds import seeds
from apex_opt.plan.sketch import sketch
from apex_opt.plan.tried import Counts, Found, Tried, as_good, better, rank
from apex_opt.solvers.fleet import Answer
from apex_opt.solvers.fleet_alone import AloneModel
from apex_opt.solvers.fleet_listed import ListedModel
from apex_opt.solvers.fleet_models import model_of
from apex_opt.solvers.fleet_verify import faults

EXTRA = 48
LEAST_S = 0.05
"""Time in which the model says a bound, be it a loose one."""

SINGLES = 16
"""Most plans of one kind that are tried before the solver is asked for plans of several."""

FEW = 16
"""Most replicas of a plan whose smaller numbers are simulated along with it."""

SIBLINGS = 64
"""Most plans of the same degrees and other settings that a plan caps; the rest are simulated."""


@dataclass
class Search:
    """The loop: propose, simulate, keep, cut.

    Attributes:
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
        extra: simulations for ties and runners-up that are left once the first plan is proved.
        found: what it knows so far.
    """

    problem: Problem
    play: Callable[[Counts], Tried]
    _: KW_ONLY
    top_k: int
    time_limit_s: float
    threads: int
    listen: Listen
    gap: float = 0.0
    most: int | None = None
    start: Sequence[Counts] = ()
    extra: int = EXTRA
    found: Found = field(default_factory=Found, init=False)

    def __post_init__(self) -> None:
        """Ask no question yet: every bound is true."""
        self.deadline = time.monotonic() + self.time_limit_s
        anyone = math.isinf(self.gap)  # no bound is read then
        self.model = model_of(self.problem.data, None if anyone else self.problem.known)
        self.found.bound = math.inf if self.problem.goal.maximize else -math.inf
        self.known: set[Counts] = set()
        self.climber = Climber(self.problem.data, self._allowed, self._meets)

    def run(self) -> Found:
        """Search until the answer is proved and the runners-up are known, or time is out."""
        found = self.found
        with ThreadPoolExecutor(self.threads) as pool:
            for counts in (*self.start, *seeds(self.problem)):
                if self._may_go_on():
                    self._meets(counts)
            self._pressed()
            self._sketch()
            self._singles()
            while self._may_go_on():
                proposals = self._propose()
                if self._settled() or not proposals:
                    break
                for tried in pool.map(self.play, proposals):
                    self._keep(tried)
                found.simulated += len(proposals)
                if found.near:
                    self.extra -= len(proposals)
                if not found.best and self.climber.due(found.rejected):
                    self.climber.climb(found.rejected)
                self._tell()
        if math.isinf(found.bound) and not found.exhausted:
            self._note(self.model.solve(time_limit_s=LEAST_S))  # time was out before it was asked
        return found

    def _singles(self) -> None:
        """Try plans of one kind while they may be the best: no solver is asked for their bounds."""
        if isinstance(self.model, AloneModel | ListedModel):
            return
        found, goal = self.found, self.problem.goal
        model = AloneModel(replace(self.problem.data, max_kinds=1))
        for _ in range(SINGLES):
            answer = model.solve()
            if answer.counts is None or answer.bound is None or not self._may_go_on():
                return
            if found.best and math.isinf(self.gap):
                return
            bound = self.problem.in_units(answer.bound)
            if found.best and as_good(goal, found.best[0].objective, bound):
                return
            model.cut(answer.counts)
            self._meets(answer.counts)

    def _pressed(self) -> None:
        """Look for plans of a few kinds where power is limited, which bounds know little of."""
        if isinstance(self.model, AloneModel | ListedModel) or not short_of_power(self.problem):
            return
        for r in frugal(self.problem):
            plans = between(self.problem, r, self._look)
            while self._may_go_on() and next(plans, None) is not None:
                pass

    def _sketch(self) -> None:
        """Look for a first plan among a few good kinds, where the fleet model is large."""
        plans = iter(()) if self.found.best else sketch(self.problem)
        missed = [counts for counts in plans if self._may_go_on() and not self._meets(counts)]
        if missed and not self.found.best:
            self.climber.climb(self.found.rejected)

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

    def _allowed(self, counts: Counts) -> bool:
        return self._may_go_on() and not faults(self.problem.data, counts)

    def _meets(self, counts: Counts) -> bool:
        """Return whether a plan meets the spec; simulate it unless it has been."""
        if counts not in self.known:
            return self._look(counts).missed is None
        return all(t.counts != counts for t in self.found.rejected)

    def _look(self, counts: Counts) -> Tried:
        """Return a plan; it is simulated, kept and excluded unless it has been."""
        tried = self.play(counts)
        if counts in self.known:
            return tried
        self._exclude(counts)
        self._keep(tried)
        self.found.simulated += 1
        self._tell()
        return tried

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
        elif answer.bound is not None:  # what is cut makes no bound worse; haste may
            bound = self.problem.in_units(answer.bound)
            found.bound = min(found.bound, bound) if goal.maximize else max(found.bound, bound)
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
        found, goal = self.found, self.problem.goal
        if tried.missed is not None:
            found.rejected.append(tried)
            return
        signature = self._signature(tried)
        same = next((t for t in found.best if self._signature(t) == signature), None)
        if same is not None:
            if rank(goal, tried) >= rank(goal, same):
                return
            found.best.remove(same)
        found.best.append(tried)
        found.best.sort(key=partial(rank, goal))
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
