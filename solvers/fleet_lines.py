"""Pairs of kinds of replica: beside a number of the first, how many of the second there may be.

With n of kind a and m of kind b, which share the traffic, take one row of work of each,

    sum_j w[a,j] z[j] <= 10^9 n + l[a],    sum_j w[b,j] (1 - z[j]) <= 10^9 m + l[b],

with 0 <= z[j] <= 1 the shares that a serves. The least of the second sum that the first leaves is a
fractional knapsack: a serves the features in order of w[b,j] / w[a,j], greatest first. So n asks
for a least m; limits on sums and on power give a greatest. That is a relaxation, in floating point
and a little loose.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from apex_opt.solvers.fleet_data import HORIZON, Due, FleetData
from apex_opt.solvers.fleet_power import PowerLimit

Float = NDArray[np.float64]
Int = NDArray[np.int64]

BLOCK = 256
"""Pairs of kinds that are looked at together."""

LOOSE = 1e-9
"""Relative slack of sums in floating point."""


def lines(data: FleetData) -> Iterator[Int]:
    """Yield (5, lines): kinds a and b, a number of a, the least and the most of b beside it.

    Of two kinds a is the one of which there are fewer at the most, and pairs with few come first.
    """
    table = _Table(data)
    usable = np.flatnonzero(table.least <= table.most)
    usable = usable[np.argsort(table.most[usable], kind="stable")]
    a, b = (usable[ends] for ends in np.triu_indices(len(usable), 1))
    fit = table.may_stand(a, b)
    a, b = a[fit], b[fit]
    for k in range(0, len(a), BLOCK):
        yield table.lines(a[k : k + BLOCK], b[k : k + BLOCK])


class _Table:
    """The numbers of a question, as arrays by kind."""

    def __init__(self, data: FleetData) -> None:
        kinds = data.kinds
        self.data = data
        self.spare = np.array([kind.spare for kind in kinds])
        self.least = 1 + self.spare
        self.most = np.array([kind.max_count for kind in kinds])
        self.alone = np.array([kind.companions is None for kind in kinds])
        sums = [limit for limit in data.limits if min(limit.each.values(), default=0) >= 0]
        takes = [[kind.devices_in(p) for kind in kinds] for p in range(len(data.pools))]
        takes += [[limit.each.get(r, 0) for r in range(len(kinds))] for limit in sums]
        self.takes = np.array(takes, np.float64).reshape(-1, len(kinds))
        rooms = [pool.nodes * pool.node_devices for pool in data.pools]
        self.room = np.array([*rooms, *(limit.most for limit in sums)], np.float64) * (1 + LOOSE)
        self.work = [_strongest([kind.work for kind in kinds], data.features)]
        self.late = [np.zeros(len(kinds))]
        if any(kind.due for kind in kinds):
            due = [tuple(one.work for one in kind.due) for kind in kinds]
            self.work.append(_strongest(due, data.features))
            self.late.append(np.array([_late(kind.due) for kind in kinds], np.float64))
        self.power = [_power(limit, len(kinds), data.features) for limit in data.power_limits]

    def may_stand(self, a: Int, b: Int) -> NDArray[np.bool_]:
        """Return which pairs limits allow at all, with the fewest of each."""
        fit = np.ones(len(a), np.bool_)
        for takes, room in zip(self.takes, self.room, strict=True):
            fit &= takes[a] * self.least[a] + takes[b] * self.least[b] <= room
        for power in self.power:
            standing = power.standing
            fit &= standing[a] * self.least[a] + standing[b] * self.least[b] <= power.left(a, b)
        for r in np.flatnonzero(~self.alone).tolist():
            helpers = np.array(sorted(self.data.kinds[r].companions or ()), np.int64)
            fit &= ((a != r) | np.isin(b, helpers)) & ((b != r) | np.isin(a, helpers))
        return fit

    def lines(self, a: Int, b: Int) -> Int:
        """Return (5, lines) of some pairs."""
        first = np.arange(1, int(self.most[a].max(initial=0)) + 1)
        shape = (len(a), len(first))
        inside = (first >= self.least[a][:, None]) & (first <= self.most[a][:, None])
        high = np.broadcast_to(self.most[b][:, None].astype(np.float64), shape)
        low = np.broadcast_to(self.least[b][:, None].astype(np.float64), shape)
        for takes, room in zip(self.takes, self.room, strict=True):
            high = np.minimum(high, _fits(room - takes[a][:, None] * first, takes[b][:, None]))
        for power in self.power:
            left = power.left(a, b)[:, None] - power.standing[a][:, None] * first
            high = np.minimum(high, _fits(left, power.standing[b][:, None]))
        idle = self.spare if self.data.spares_idle else np.zeros_like(self.spare)
        for work, late in zip(self.work, self.late, strict=True):
            time_a = HORIZON * (first - idle[a][:, None]) + late[a][:, None]
            rest = left_over(work[a], work[b], time_a) - late[b][:, None]
            # What is left may be all that is lost of sums by which work there is greater.
            loose = LOOSE * (1 + work[b].sum(axis=1) / HORIZON)[:, None]
            need = np.ceil(rest / HORIZON - loose) + idle[b][:, None]
            low = np.maximum(low, need)
        which, at = np.nonzero(inside & (low <= high))
        bounds = (side[which, at].astype(np.int64) for side in (low, high))
        return np.stack([a[which], b[which], first[at], *bounds])


@dataclass(frozen=True)
class _Power:
    """A limit on power: what kinds draw idle and by feature, what may be late, and the limit."""

    standing: Float
    drawn: Float
    late: Float
    all_late: int
    most: int

    def left(self, a: Int, b: Int) -> Float:
        """Return what pairs have left for idle replicas, if each feature is served by the best."""
        work = np.minimum(self.drawn[a], self.drawn[b]).sum(axis=1)
        late = np.minimum(self.late[a] + self.late[b], self.all_late)
        return np.asarray((self.most + late) * (1 + LOOSE) - work * (1 - LOOSE))


def _power(limit: PowerLimit, kinds: int, features: int) -> _Power:
    standing, late, drawn = np.zeros(kinds), np.zeros(kinds), np.zeros((kinds, features))
    for r, each in limit.standing.items():
        standing[r] = each
    for r, due in limit.drawn.items():
        drawn[r], late[r] = due.work, due.late
    return _Power(standing, drawn, late, limit.late, limit.most)


def _strongest(rows: Sequence[Sequence[Sequence[int]]], features: int) -> Float:
    """Return (kinds, features) of each kind the row with the greatest sum; zeros where none is."""
    none = (0,) * features
    return np.array([max(mine, key=sum, default=none) for mine in rows], np.float64)


def _late(due: Sequence[Due]) -> int:
    """Return what may be late of the row that `_strongest` takes."""
    return max(due, key=lambda one: sum(one.work)).late if due else 0


def _fits(room: Float, each: Float) -> Float:
    """Return how many fit, of which one takes `each`; any number of what takes nothing."""
    many = np.divide(room, each, out=np.full(room.shape, np.inf), where=each > 0)
    return np.floor(np.where(room < 0, -1.0, many))


def left_over(mine: Float, theirs: Float, time: Float) -> Float:
    """Return (pairs, numbers) the least work that is left for the others.

    Args:
        mine: (pairs, features) work of all of each feature where it is served here,
        theirs: and there.
        time: (pairs, numbers) that there is here.
    """
    ratio = np.divide(theirs, mine, out=np.full(mine.shape, np.inf), where=mine > 0)
    order = np.argsort(-ratio, axis=1, kind="stable")
    mine, theirs = (np.take_along_axis(work, order, axis=1) for work in (mine, theirs))
    rest = np.zeros(time.shape)
    time = time.copy()
    for j in range(mine.shape[1]):
        work = mine[:, j, None]
        share = np.clip(np.divide(time, work, out=np.ones(time.shape), where=work > 0), 0.0, 1.0)
        rest += theirs[:, j, None] * (1 - share)
        time -= work * share
    return rest
