"""What searches have proved about a front, and what follows for a point of it.

A fact is the outcome of one search: of all plans in a window of the limited axis, none is better on
the sought axis than a bound. A point is optimal if no plan as good on the limited axis is better on
the sought one, and none better on the limited axis is as good on the sought one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from apex_opt.plan.pareto_axis import Axis
from apex_opt.plan.pareto_window import Window


@dataclass
class Facts:
    """Facts about the plans of a space.

    Attributes:
        sought, limited: the axes.
        found: windows (None: all plans), each with the bound on the sought axis of the plans in it;
            it is infinitely bad where no plan is in it.
        least: bound on the limited axis, of all plans.
    """

    sought: Axis
    limited: Axis
    found: list[tuple[Window | None, float]] = field(default_factory=list)
    least: float | None = None

    def add(self, window: Window | None, bound: float) -> None:
        """Note that no plan in a window is better than `bound`."""
        self.found.append((window, bound))

    def bound(self, window: Window) -> float:
        """Return the tightest bound that is known of the plans in a window."""
        best = math.inf if self.sought.goal.maximize else -math.inf
        known = [b for w, b in self.found if w is None or w.covers(window)]
        worst = min if self.sought.goal.maximize else max
        return worst([best, *known])

    def none_better(self, a: float, b: float) -> bool:
        """Whether no plan that is as good as `b` on the limited axis is better than `a`."""
        return self.sought.as_good(a, self.bound(Window(self.limited, b)))

    def none_leaner(self, a: float, b: float) -> bool:
        """Whether no plan that is better than `b` on the limited axis is as good as `a`."""
        if self.least is not None and self.limited.as_good(b, self.least):
            return True
        return self.sought.better(a, self.bound(Window(self.limited, b, strict=True)))

    def optimal(self, a: float, b: float) -> bool:
        """Whether a plan of these values is proved to lie on the front."""
        return self.none_better(a, b) and self.none_leaner(a, b)

    def nothing_between(self, lean: float, b: float) -> bool:
        """Whether no plan better than `b` on the limited axis is better than `lean` sought."""
        return self.sought.as_good(lean, self.bound(Window(self.limited, b, strict=True)))
