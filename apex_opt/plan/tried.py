"""Simulated plans: one of them, all that a search knows, and which of two is better."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from apex_opt.plan.objective import Goal

if TYPE_CHECKING:
    from apex_opt.plan.predict import Played

Counts = tuple[int, ...]

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


def rank(goal: Goal, tried: Tried) -> tuple[float, float]:
    """Order by objective, equal ones by mean end-to-end time."""
    value = -tried.objective if goal.maximize else tried.objective
    grid = TOLERANCE * 10.0 ** math.floor(math.log10(abs(value))) if value else 1.0
    return round(value / grid) * grid, tried.e2e_ms
