"""The best plan of a spec that can be met: the certified search, over what the judge remembers."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

from apex_opt.auditing.judge import Judge
from apex_opt.auditing.other import counts_in
from apex_opt.plan.candidate import Candidate
from apex_opt.plan.events import Listen
from apex_opt.plan.objective import goal
from apex_opt.plan.problem import Problem
from apex_opt.plan.result import Result
from apex_opt.plan.search import EXTRA, Search
from apex_opt.plan.solve import AT_ONCE, content_with, silent
from apex_opt.plan.tell import tell
from apex_opt.plan.tried import Found, Tried
from apex_opt.spec.spec import Spec


@dataclass(frozen=True)
class Sought:
    """The best plans of a spec, as the search found them, and what it was asked.

    Attributes:
        asked: the fleet problem.
        found: the plans, one at least.
        seconds: how long the search took.
    """

    asked: Problem
    found: Found
    seconds: float

    @property
    def first(self) -> Tried:
        """The best plan."""
        return self.found.best[0]

    def told(self, judge: Judge, spec: Spec) -> Result:
        """Return the plans as people and scripts read them."""
        return tell(spec, judge.traffic(spec), self.asked, self.found, self.seconds)


def best(
    judge: Judge,
    spec: Spec,
    seconds: float,
    most: int | None,
    listen: Listen = silent,
    start: Tried | None = None,
) -> Sought | None:
    """Return the best plans of a spec, proved as far as time and simulations go; None: none found.

    Args:
        judge: bounds replicas and simulates plans.
        spec: the spec.
        seconds: time for the search.
        most: simulations after which the search ends; None: no limit.
        listen: told of progress.
        start: a plan that meets the spec: the search starts from it, and only says what is better.
    """
    begin = time.monotonic()
    offered = judge.traffic(spec)
    asked = judge.problem(spec, lambda c: start is None or _may_beat(spec, c, start.objective))
    assert asked is not None  # a replica of a plan that meets the spec is worth it
    known = None if start is None else counts_in(asked, start)
    found = Search(
        asked,
        lambda counts: judge.play(spec, offered, asked, counts),
        top_k=spec.search.top_k if start is None else 1,
        time_limit_s=seconds,
        threads=AT_ONCE,
        listen=listen,
        gap=content_with(spec),
        most=most,
        start=() if known is None else (known,),
        extra=EXTRA if start is None else 0,
    ).run()
    return Sought(asked, found, time.monotonic() - begin) if found.best else None


def _may_beat(spec: Spec, candidate: Candidate, objective: float) -> bool:
    """Whether a plan with this replica may be as good: what one of it costs or takes, all do."""
    least = {"cost": candidate.price_per_hour, "devices": candidate.shape.devices}
    return least.get(goal(spec.objective).name, -math.inf) <= objective
