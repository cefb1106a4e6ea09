"""A first plan where plans need far more than bounds say: larger fleets of what missed."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from apex_opt.plan.tried import Counts, Tried
from apex_opt.solvers.fleet_data import FleetData

CLIMB_AT = 4
"""Plans that miss before larger fleets are tried; twice as many each time that none is found."""

CLIMBS = 4
"""Mixtures from which larger fleets are tried at one time."""


class Climber:
    """Looks for first plans among larger fleets of mixtures that missed, of each mixture once.

    Args:
        data: the kinds of replica.
        allowed: whether limits and stock, and the time that is left, allow a plan.
        meets: simulates a plan and says whether it meets the spec.
    """

    def __init__(
        self, data: FleetData, allowed: Callable[[Counts], bool], meets: Callable[[Counts], bool]
    ) -> None:
        self.data, self.allowed, self.meets = data, allowed, meets
        self.climbed: set[frozenset[int]] = set()
        self.at = CLIMB_AT

    def due(self, rejected: Sequence[Tried]) -> bool:
        """Return whether enough plans have missed since the last time."""
        return len(rejected) >= self.at

    def climb(self, rejected: Sequence[Tried]) -> None:
        """Look for a plan that is mixed, and for one that is apart; `rejected` grows meanwhile."""
        starts = {t.kinds: t.counts for t in rejected if t.kinds not in self.climbed}
        for apart in (False, True):
            mine = [kinds for kinds in starts if self._apart(kinds) == apart]
            for kinds in mine[:CLIMBS]:
                self.climbed.add(kinds)
                if climb(starts[kinds], self.allowed, self.meets):
                    break
        self.at = 2 * len(rejected)

    def _apart(self, kinds: frozenset[int]) -> bool:
        """Return whether prefill and decode are apart in plans of these kinds."""
        return any(self.data.kinds[r].role != "mixed" for r in kinds)


def scaled(counts: Counts, total: int) -> Counts:
    """Return the mixture of `counts` with `total` replicas or little more, all kinds in proportion.

    Args:
        counts: replicas of each kind, not all zero.
        total: replicas, at least as many as `counts` has.
    """
    return tuple(-(-n * total // sum(counts)) for n in counts)


def climb(
    start: Counts, allowed: Callable[[Counts], bool], meets: Callable[[Counts], bool]
) -> bool:
    """Return whether larger fleets of a mixture meet the spec: doubled until one does, then halved.

    Of several kinds in one that does, each is then made fewer, in turn.

    Args:
        start: a plan that misses.
        allowed: whether limits and stock allow a plan; where they do not, none larger is tried.
        meets: simulates a plan and says whether it meets the spec.
    """
    low, high, found = sum(start), None, None
    while high is None or high - low > 1:
        size = 2 * low if high is None else (low + high) // 2
        plan = scaled(start, size)
        if not allowed(plan):
            high = size
        elif meets(plan):
            high, found = size, plan
        else:
            low = size
    if found is not None and sum(map(bool, found)) > 1:
        trim(found, lambda plan: allowed(plan) and meets(plan))
    return found is not None


def trim(plan: Counts, meets: Callable[[Counts], bool]) -> Counts:
    """Return a plan with as few of each kind, in turn, as bisection finds to meet the spec.

    Args:
        plan: it meets the spec.
        meets: whether a smaller one is allowed, and does.
    """
    for kind, most in enumerate(plan):
        low, high = 0, most
        while high - low > 1:
            size = (low + high) // 2
            smaller = (*plan[:kind], size, *plan[kind + 1 :])
            low, high = (low, size) if meets(smaller) else (size, high)
        plan = (*plan[:kind], high, *plan[kind + 1 :])
    return plan
