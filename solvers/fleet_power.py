"""Limits on power, held against what work draws: nobody's peak is below a mean of his.

A plan that must have done some work by a time T has spent its energy by then. So the sum of what
its replicas draw at their peaks is at least what they draw idle and that energy over T.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from apex_opt.solvers.fleet_data import Due, FleetData


@dataclass(frozen=True)
class PowerLimit:
    """sum_r standing[r] n[r] + sum_rj drawn[r].work[j] y[r,j] - l <= most.

    Shares y are of 1 here. l is what may be late: sum_r drawn[r].late used[r], and at most `late`.
    Milliwatts.

    Attributes:
        standing: by kind, of those that stand where the limit holds, wholly or in part.
        drawn: by kind, of those that stand wholly there.
    """

    name: str
    standing: Mapping[int, int]
    drawn: Mapping[int, Due]
    late: int
    most: int

    def allows(self, r: int, n: int) -> int:
        """Return how many of `n` replicas of kind `r` it allows that serve everything alone."""
        if r not in self.drawn:
            return n
        left = self.most - sum(self.drawn[r].work) + min(self.drawn[r].late, self.late)
        if left < 0:
            return 0
        return min(n, left // self.standing[r]) if self.standing[r] else n


def power_limits(a: FleetData) -> Iterator[PowerLimit]:
    """Yield the limits, of the plan and of each pool, at each time that kinds tell of."""
    for k, late in enumerate(a.late_mw):
        if a.power_mw is not None:
            standing = {r: kind.standing_mw for r, kind in enumerate(a.kinds)}
            drawn = {r: kind.drawn[k] for r, kind in enumerate(a.kinds)}
            yield PowerLimit(f"power by time {k}", standing, drawn, late, a.power_mw)
        for p, pool in enumerate(a.pools):
            if pool.power_mw is not None:
                standing = {r: a.kinds[r].standing_in(p) for r in a.members[p]}
                drawn = {r: a.kinds[r].drawn[k] for r in a.members[p] if not a.kinds[r].also}
                name = f"pool {p}, power by time {k}"
                yield PowerLimit(name, standing, drawn, late, pool.power_mw)
