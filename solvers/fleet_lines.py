"""Plans of at most two kinds of replica, laid out in arrays within a window on their objective.

With n of kind a and m of kind b, which share the traffic, take one row of work of each,

    sum_j w[a,j] z[j] <= 10^9 n + l[a],    sum_j w[b,j] (1 - z[j]) <= 10^9 m + l[b],

with 0 <= z[j] <= 1 the shares that a serves. The least of the second sum that the first leaves is a
fractional knapsack: a serves the features in order of w[b,j] / w[a,j], greatest first. So n asks
for a least m; limits on sums and on power, and the window, give a greatest. That is a relaxation,
in floating point and a little loose.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from apex_opt.solvers.fleet_alone import fewest, most, possible
from apex_opt.solvers.fleet_data import HORIZON, Due, FleetData, Kind
from apex_opt.solvers.fleet_power import PowerLimit

Counts = tuple[int, ...]
Float = NDArray[np.float64]
Int = NDArray[np.int64]

MOST_PLANS = 1_000_000
"""Plans that are laid out at a time: some 300 bytes each meanwhile."""

BLOCK = 500_000
"""Numbers of replicas, of all pairs of kinds together, that are looked at at a time."""

LOOSE = 1e-9
"""Relative slack of sums in floating point."""


@dataclass(frozen=True)
class Plans:
    """Plans in order of their bounds, `first` of kind a and `second` of kind b; 0 of b: none.

    Attributes:
        own: bound of the objective of each, rounded down.
    """

    a: Int
    b: Int
    first: Int
    second: Int
    own: Int

    def counts(self, at: int, kinds: int) -> Counts:
        """Return the replicas of each of so many kinds of the plan at a place."""
        found = [0] * kinds
        found[int(self.a[at])] = int(self.first[at])
        if self.second[at]:
            found[int(self.b[at])] = int(self.second[at])
        return tuple(found)


def _spelled(some: Int) -> Int:
    """Return (4, plans) of (5, lines): each with all numbers of the second kind, low to high."""
    a, b, first, low, high = some
    many = high - low + 1
    start = np.repeat(np.cumsum(many) - many, many)
    second = np.arange(int(many.sum())) - start + np.repeat(low, many)
    return np.stack([*(np.repeat(column, many) for column in (a, b, first)), second])


class PairTable:
    """The numbers of a question, as arrays by kind, and its pairs of kinds.

    Attributes:
        greatest: no bound of a plan is above it.
        promising: bound of the best plan of one kind, roughly.
    """

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
        self.fixed = np.array([kind.fixed for kind in kinds], np.int64)
        self.greatest = 2 * max((greatest(data, kind) for kind in kinds), default=0)
        self.promising = min((_promising(kind) for kind in kinds), default=0)
        usable = np.flatnonzero(self.least <= self.most)
        usable = usable[np.argsort(self.most[usable], kind="stable")]  # a is the rarer one
        a, b = (usable[ends] for ends in np.triu_indices(len(usable), 1))
        fit = self.may_stand(a, b)
        self.a, self.b = a[fit], b[fit]
        self.flow = _flow(data, self.a, self.b)

    def between(self, above: int, upto: int) -> Plans | None:
        """Return the plans of a bound in above < own <= upto, in order; None: they are too many."""
        found, left = [], MOST_PLANS
        for some in chain([self._alone(above, upto)], self._pairs(above, upto)):
            left -= int((some[4] - some[3] + 1).sum())
            if left < 0:
                return None
            found.append(_spelled(some))
        a, b, first, second = np.concatenate(found, axis=1)
        own = self.fixed[a] * first + self.fixed[b] * second + _flow(self.data, a, b)
        inside = (above < own) & (own <= upto)
        return _ordered(*(column[inside] for column in (a, b, first, second, own)))

    def _alone(self, above: int, upto: int) -> Int:
        """Return (5, lines) as `_pairs` yields them, of one kind: none of it, least, most."""
        rows = []
        for r, kind in enumerate(self.data.kinds):
            if possible(self.data, r):
                low, high = fewest(self.data, r), most(self.data, r)
                flow = max(sum(kind.flow), kind.least_flow + sum(kind.beyond_by))
                if kind.fixed:
                    low = max(low, (above - flow) // kind.fixed + 1)
                    high = min(high, (upto - flow) // kind.fixed)
                if low <= high and (kind.fixed or above < flow <= upto):
                    rows.append((r, r, 0, low, high))
        return np.array(rows, np.int64).reshape(-1, 5).T

    def _pairs(self, above: int, upto: int) -> Iterator[Int]:
        """Yield (5, lines): kinds a and b, a number of a, the least and the most of b beside it."""
        left = np.asarray((upto - self.flow) * (1 + LOOSE) + LOOSE, np.float64)
        numbers = np.minimum(self.most[self.a], self._beside(left))
        usable = np.flatnonzero(numbers >= self.least[self.a])
        order = usable[np.argsort(-numbers[usable], kind="stable")]
        while len(order):
            some = order[: max(1, BLOCK // int(numbers[order[0]]))]
            order = order[len(some) :]
            yield self.lines(some, int(numbers[some[0]]), above, left[some])

    def _beside(self, left: Float) -> Float:
        """Return the most of a that limits and what is `left` of the objective allow beside b."""
        a, b, least = self.a, self.b, self.least
        rooms = [(takes, room) for takes, room in zip(self.takes, self.room, strict=True)]
        rows = [*rooms, (self.fixed.astype(np.float64), left)]
        rows += [(power.standing, power.left(a, b)) for power in self.power]
        most = np.full(len(a), np.inf)
        for takes, room in rows:
            most = np.minimum(most, _fits(room - takes[b] * least[b], takes[a]))
        return most

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

    def lines(self, some: Int, numbers: int, above: int, worth: Float) -> Int:
        """Return (5, lines) of some pairs, up to so many of a, all replicas `worth` so much."""
        a, b = self.a[some], self.b[some]
        first = np.arange(1, numbers + 1)
        shape = (len(a), len(first))
        inside = (first >= self.least[a][:, None]) & (first <= self.most[a][:, None])
        high = np.broadcast_to(self.most[b][:, None].astype(np.float64), shape)
        low = np.broadcast_to(self.least[b][:, None].astype(np.float64), shape)
        for takes, room in zip(self.takes, self.room, strict=True):
            high = np.minimum(high, _fits(room - takes[a][:, None] * first, takes[b][:, None]))
        for power in self.power:
            left = power.left(a, b)[:, None] - power.standing[a][:, None] * first
            high = np.minimum(high, _fits(left, power.standing[b][:, None]))
        fixed = self.fixed.astype(np.float64)
        spent = fixed[a][:, None] * first
        high = np.minimum(high, _fits(worth[:, None] - spent, fixed[b][:, None]))
        short = (above - self.flow[some])[:, None] * (1 - LOOSE) - LOOSE - spent
        each = np.where(fixed[b] > 0, fixed[b], np.inf)[:, None]
        low = np.maximum(low, np.floor(short / each))
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


def greatest(data: FleetData, kind: Kind) -> int:
    """Return what no plan of this kind alone is worth more than."""
    flow = max(sum(kind.flow), kind.least_flow + sum(kind.beyond_by))
    return (kind.fixed + data.start) * kind.max_count + flow


def _promising(kind: Kind) -> int:
    """Return the objective of the fewest of a kind that may have time for everything, roughly."""
    rows = [sum(row) for row in kind.work] + [sum(due.work) - due.late for due in kind.due]
    number = max(1 + kind.spare, -(-max(rows, default=0) // HORIZON))
    return kind.fixed * number + sum(kind.flow)


def _flow(data: FleetData, a: Int, b: Int) -> Int:
    """Return the least flow of pairs: all of the traffic where it is cheapest."""
    kinds = data.kinds
    least = np.array([kind.least_flow for kind in kinds], np.int64)

    def cheapest(rows: list[tuple[int, ...]]) -> Int:
        table = np.array(rows, np.int64).reshape(len(rows), data.features)
        return np.asarray(np.minimum(table[a], table[b]).sum(axis=1))

    flow = cheapest([kind.flow for kind in kinds])
    beyond = cheapest([kind.beyond_by for kind in kinds])
    return np.maximum(flow, np.minimum(least[a], least[b]) + beyond)


def _ordered(a: Int, b: Int, first: Int, second: Int, own: Int) -> Plans:
    """Return plans in order of their bounds; of equal ones pairs take turns, the largest first."""
    replicas = -(first + second)
    order = np.lexsort((replicas, own, b, a))
    new = np.ones(len(order), np.bool_)
    new[1:] = np.any([np.diff(column[order]) != 0 for column in (a, b, own)], axis=0)
    begin = np.maximum.accumulate(np.where(new, np.arange(len(order)), 0))
    turn = np.empty(len(order), np.int64)
    turn[order] = np.arange(len(order)) - begin
    order = np.lexsort((replicas, turn, own))
    return Plans(*(column[order] for column in (a, b, first, second, own)))
