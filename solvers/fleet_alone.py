"""Plans of one kind of replica, in order of their bounds: arithmetic in place of a solver.

Where a plan uses one kind only, and that kind serves everything, all shares are 1 and each row of
`fleet_rules` is a limit on the number n of its replicas:

    stock, starts, sums of `fleet_limits`, power       n <= `most`
    sum_j w[k,j] <= 10^9 n for each resource k         n >= `fewest`        (sense `min`)
    sum_j v[k,j] <= 10^9 n + l[k] for each row due     likewise

The objective grows with n: for `min` the fewest come first, for `max` the most. So the next plan is
the best of one candidate for each kind.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

from apex_opt.solvers.fleet import Answer
from apex_opt.solvers.fleet_data import HORIZON, SHARE, FleetData
from apex_opt.solvers.fleet_objective import LeastSum, objective


def alone(data: FleetData) -> bool:
    """Whether every plan uses one kind only."""
    return not data.caches and (data.max_kinds == 1 or data.replicas == 1)


def most(data: FleetData, r: int) -> int:
    """Return the most replicas of kind `r` alone that stock and limits allow."""
    kind, n = data.kinds[r], data.kinds[r].max_count
    for p in range(len(data.pools)):
        if groups := kind.groups_in(p):
            n = min(n, _groups(data, r, p) // groups)
    if data.starts is not None:
        n = min(n, data.starts + kind.running)
    sums = min((limit.allows(r, n) for limit in data.limits), default=n)
    return min((limit.allows(r, sums) for limit in data.power_limits), default=sums)


def _groups(data: FleetData, r: int, p: int) -> int:
    """Return how many groups of kind `r` the nodes of pool `p` hold."""
    pool = data.pools[p]
    whole = data.whole_nodes(r, p)
    inside = pool.node_devices // data.kinds[r].group_devices
    return pool.nodes // whole if whole else pool.nodes * inside


def fewest(data: FleetData, r: int) -> int:
    """Return the fewest replicas of kind `r` alone that may serve what the sense asks for."""
    kind = data.kinds[r]
    if data.sense == "max":
        return 1 + kind.spare
    rows = [sum(row) for row in kind.work] + [sum(due.work) - due.late for due in kind.due]
    serving = max(1, -(-max(rows, default=0) // HORIZON))
    return max(serving + kind.spare * data.spares_idle, 1 + kind.spare)


def possible(data: FleetData, r: int) -> bool:
    """Whether a plan of kind `r` alone is within the limits and may serve all that it must."""
    kind = data.kinds[r]
    serves = kind.companions is None and kind.role == "mixed"
    return serves and fewest(data, r) <= most(data, r)


class AloneModel:
    """The plans of one kind of a `FleetData`, as `FleetModel` gives them.

    Kinds of equal bounds take turns.

    Args:
        data: the question; every plan of it uses one kind, see `alone`.
    """

    def __init__(self, data: FleetData) -> None:
        self._data = data
        self._goal = objective(data)
        self._left = {r: self._numbers(r) for r in range(len(data.kinds)) if possible(data, r)}
        self._cut: dict[int, set[int]] = {r: set() for r in self._left}
        self._caps: dict[int, int] = {}
        self._next: dict[int, tuple[int, int]] = {}

    def _numbers(self, r: int) -> range:
        """Return the numbers of replicas of kind `r`, best bounds first; of equal ones the most."""
        low, high = fewest(self._data, r), most(self._data, r)
        if isinstance(self._goal, LeastSum) and self._goal.fixed[r] + self._goal.start:
            return range(low, high + 1)
        return range(high, low - 1, -1)

    def cut(self, counts: Sequence[int]) -> None:
        """Exclude the plan with exactly these counts."""
        used = [(r, n) for r, n in enumerate(counts) if n]
        if len(used) == 1 and used[0][0] in self._left:
            r, n = used[0]
            self._cut[r].add(n)
            self._next.pop(r, None)

    def cap(self, kinds: frozenset[int], value: int) -> None:
        """Exclude each plan that uses exactly `kinds`, unless its bound is better than `value`."""
        if len(kinds) == 1:
            (r,) = kinds
            best = self._goal.better(value)
            self._caps[r] = min(best, self._caps.get(r, best))
            self._next.pop(r, None)

    def solve(self, *, time_limit_s: float = 60.0) -> Answer:  # noqa: ARG002
        """Return the best plan that is left; it takes no time that a limit could stop."""
        for r in [r for r in self._left if r not in self._next]:
            self._advance(r)
        if not self._left:
            return Answer("infeasible", None, None, None)
        own, _, r = min((self._next[r][0], len(self._cut[r]), r) for r in self._left)
        value = self._goal.to_units(own)
        counts = tuple(self._next[r][1] if q == r else 0 for q in range(len(self._data.kinds)))
        return Answer("optimal", counts, value, value)

    def _advance(self, r: int) -> None:
        """Note the next plan of kind `r` with its own value, or that there is none left."""
        while self._left[r] and self._left[r][0] in self._cut[r]:
            self._left[r] = self._left[r][1:]
        if self._left[r]:
            n = self._left[r][0]
            own = self._own(r, n)
            if own <= self._caps.get(r, own):
                self._next[r] = own, n
                return
        del self._left[r]

    def _own(self, r: int, n: int) -> int:
        """Return the own value of `n` replicas of kind `r`, as the objective counts it."""
        if isinstance(self._goal, LeastSum):
            started = max(n - self._data.kinds[r].running, 0)
            goal = self._goal
            flow = SHARE * sum(goal.flow[r])
            if goal.least:
                flow = max(flow, goal.least[r] + SHARE * sum(goal.beyond[r]))
            return goal.fixed[r] * n + goal.start * started + flow
        # The least that is not served: bisection, as what a share takes grows with the share.
        return bisect_left(range(SHARE), x=True, key=lambda u: self._serves(r, n, SHARE - u))

    def _serves(self, r: int, n: int, share: int) -> bool:
        """Return whether `n` replicas have time for `share` millionths of the goal.

        The least share of feature j is z[j] = max((slope s + intercept) / S, 0) over its floors;
        sum_j w[k,j] z[j] <= 10^9 n is asked of each resource k, times S^2.
        """
        data = self._data
        least = [
            max((f.slope * share + f.intercept * SHARE for f in floors), default=0)
            for floors in data.served or ((),) * data.features
        ]
        least[data.goal] = share * SHARE
        return all(
            sum(w * max(z, 0) for w, z in zip(row, least, strict=True)) <= HORIZON * n * SHARE**2
            for row in data.kinds[r].work
        )
