"""The trade between two figures of a plan: points of which none is better on both, with proof.

One axis is limited step by step, and the best of the other is sought by the certified search
(epsilon constraints, as of Haimes et al. 1971): first without a limit, from the end that is best on
the limited axis, and at even steps between; then at each point that is shown, twice, until it is
proved: is there a better plan that is as good on the limited axis, or one as good that is better on
the limited axis? The second question also finds the next point of the front, if there is one.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

from apex_opt.errors import CallError
from apex_opt.plan.events import Event, Listen
from apex_opt.plan.needs import require_figures
from apex_opt.plan.pareto_axis import Axis, axis_named, roles
from apex_opt.plan.pareto_facts import Facts
from apex_opt.plan.pareto_result import Front
from apex_opt.plan.pareto_search import Shared, Shown
from apex_opt.plan.pareto_tell import Drawn, tell_front
from apex_opt.plan.pareto_window import Window
from apex_opt.plan.solve import no_plan, silent
from apex_opt.spec.spec import Spec
from apex_opt.trace.traffic import traffic

POINTS = 8
MOST_POINTS = 100

ASKS = 4
"""Searches for each point that is to be proved, at most: the front moves while it is looked at."""

SHARE = 0.25
"""Of the time that is left, for one search."""


def pareto(spec: Spec, x: str, y: str, points: int = POINTS, listen: Listen = silent) -> Front:
    """Return the front of two figures over the plans of `spec`.

    Raises:
        CallError: no such axes or number of points, or the spec lacks a figure that they need.
        InfeasibleError: no plan meets the spec, and that is proved.
        UndecidedError: neither a plan nor a proof was found in the time given.
    """
    start = time.monotonic()
    axes = _axes(spec, x, y, points)
    listen(Event("reading traffic"))
    offered = traffic(spec.workload, spec.search.seed, spec.folder, spec.model)
    deadline = start + spec.search.time_limit_s
    shared = Shared(spec, offered, roles(*axes), deadline, listen)
    drawn = Drawing(shared, points)
    drawn.draw()
    return tell_front(drawn.drawn(), axes[0] == shared.sought, time.monotonic() - start)


def _axes(spec: Spec, x: str, y: str, points: int) -> tuple[Axis, Axis]:
    """Return the axes, once it is known that they can be drawn."""
    axes = axis_named(x), axis_named(y)
    if axes[0].goal == axes[1].goal:
        raise CallError(f"x and y are the same figure: {x}, {y}")
    if not 2 <= points <= MOST_POINTS:
        raise CallError(f"points: must be from 2 to {MOST_POINTS}, got {points}")
    for axis in axes:
        require_figures(spec.model_copy(update={"objective": axis.objective}))
    return axes


class Drawing:
    """A front while it is drawn."""

    def __init__(self, shared: Shared, points: int) -> None:
        self.shared, self.points = shared, points
        self.sought, self.limited = shared.sought, shared.limited
        self.facts = Facts(self.sought, self.limited)
        self.asked: set[Window | None] = set()

    def draw(self) -> None:
        """Find the ends, look evenly between them, then prove each point that is shown.

        Raises:
            InfeasibleError, UndecidedError: there is no plan at all.
        """
        shared = self.shared
        found = shared.search(self.limited, None, SHARE)
        if not shared.plans():
            raise no_plan(shared.spec, shared.problems[self.limited.name], found)
        lean = self.limited.best([one.limited for one in shared.plans()])
        self.facts.least = self.limited.best([found.bound, lean])
        self._ask(None)
        for window in list(self._even()):
            self._ask(window)
        for _ in range(ASKS * self.points):
            doubt = next(self._doubts(), None)
            if doubt is None:
                break
            self._ask(doubt)

    def front(self) -> list[Shown]:
        """Return the plans of which none is better on both axes, best on the limited one first."""
        found: list[Shown] = []
        for one in sorted(self.shared.plans(), key=self._order):
            if not found or self.sought.better(one.sought, found[-1].sought):
                # One that is equal on the limited axis, but for rounding, gives way.
                while found and self.limited.as_good(one.limited, found[-1].limited):
                    found.pop()
                found.append(one)
        return found

    def chosen(self) -> list[Shown]:
        """Return the points to show: all, or the ends and those nearest to even steps between."""
        front = self.front()
        if len(front) <= self.points:
            return front
        taken: set[int] = {0, len(front) - 1}
        for step in self._steps(front):
            left = [i for i in range(len(front)) if i not in taken]
            taken.add(min(left, key=lambda i: abs(front[i].limited - step)))
        return [front[i] for i in sorted(taken)]

    def _order(self, one: Shown) -> tuple[float, float, float]:
        signs = [-1.0 if axis.goal.maximize else 1.0 for axis in (self.limited, self.sought)]
        return signs[0] * one.limited, signs[1] * one.sought, one.e2e_ms

    def _steps(self, front: Sequence[Shown]) -> Iterator[float]:
        """Yield even steps between the ends of the limited axis, without the ends."""
        low, high = front[0].limited, front[-1].limited
        for i in range(1, self.points - 1):
            yield low + (high - low) * i / (self.points - 1)

    def _even(self) -> Iterator[Window]:
        front = self.front()
        yield Window(self.limited, front[0].limited)
        if len(front) > 1:
            yield from (Window(self.limited, step) for step in self._steps(front))

    def _doubts(self) -> Iterator[Window]:
        """Yield the windows whose search would prove a point that is shown, or unseat it."""
        for one in self.chosen():
            wanted = (
                (self.facts.none_better, Window(self.limited, one.limited)),
                (self.facts.none_leaner, Window(self.limited, one.limited, strict=True)),
            )
            for known, window in wanted:
                if window not in self.asked and not known(one.sought, one.limited):
                    yield window

    def _ask(self, window: Window | None) -> None:
        """Look for the best plan of a window, and note what is proved of it."""
        self.asked.add(window)
        self.shared.listen(Event("drawing the front", len(self.asked)))
        found = self.shared.search(self.sought, window, SHARE)
        values = [one.sought for one in self.shared.plans(window)]
        # Plans that the search has cut or capped are no better than the best that was simulated.
        self.facts.add(window, self.sought.best([found.bound, *values]))

    def drawn(self) -> Drawn:
        """Return the front as it stands."""
        return Drawn(self.shared, self.facts, self.front(), self.chosen())
