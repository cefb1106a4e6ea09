"""Plans of at most two kinds of replica: arithmetic on arrays in place of a solver.

With n of kind a and m of kind b, which share the traffic, take one row of work of each,

    sum_j w[a,j] z[j] <= 10^9 n + l[a],    sum_j w[b,j] (1 - z[j]) <= 10^9 m + l[b],

with 0 <= z[j] <= 1 the shares that a serves. The least of the second sum that the first leaves is a
fractional knapsack: a serves the features in order of w[b,j] / w[a,j], greatest first. So n asks
for a least m, limits on sums and on power give a greatest, and what lies between is laid out, in
order of a bound on its objective. That is a relaxation, in floating point and a little loose; a
plan whose turn comes is looked at once more by `fleet_verify`, in fractions.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from heapq import heappop, heappush, heapreplace
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from apex_opt.solvers.fleet import Answer
from apex_opt.solvers.fleet_alone import fewest, most, possible
from apex_opt.solvers.fleet_data import HORIZON, Due, FleetData, Kind
from apex_opt.solvers.fleet_listed import Known
from apex_opt.solvers.fleet_power import PowerLimit
from apex_opt.solvers.fleet_verify import forbidden, value

Counts = tuple[int, ...]
Float = NDArray[np.float64]
Int = NDArray[np.int64]

MOST_PLANS = 3_000_000
"""Plans that are laid out: 60 bytes each."""

BLOCK = 256
"""Pairs of kinds that are looked at together."""

LOOSE = 1e-9
"""Relative slack of sums in floating point."""

GREATEST = 2**61
"""Objectives up to which sums fit 64 bits."""


@dataclass(frozen=True)
class Plans:
    """Plans in order of their bounds, `first` of kind a and `second` of kind b.

    Those of one kind have it as a and as b, and a `first` of 0.

    Attributes:
        own: bound of the objective of each, rounded down.
    """

    a: Int
    b: Int
    first: Int
    second: Int
    own: Int

    def counts(self, at: int, kinds: Sequence[Kind]) -> Counts:
        """Return the replicas of each of the kinds of the plan at a place."""
        found = [0] * len(kinds)
        found[int(self.a[at])] = int(self.first[at])
        found[int(self.b[at])] = int(self.second[at])
        return tuple(found)


class PairsModel:
    """The plans of one or two kinds of a `FleetData`, as `FleetModel` gives them.

    Args:
        data: the question, see `pairs`.
        laid_out: its plans.
        known: the least that the flow of a plan is worth, whatever the data say.
    """

    def __init__(self, data: FleetData, laid_out: Plans, known: Known | None = None) -> None:
        self._data, self._plans, self._known = data, laid_out, known
        self._next = 0
        self._cut: set[Counts] = set()
        self._caps: dict[frozenset[int], int] = {}
        self._queue: list[tuple[int, bool, int, Counts]] = []
        self._small: dict[Counts, FleetData] = {}

    def cut(self, counts: Sequence[int]) -> None:
        """Exclude the plan with exactly these counts."""
        self._cut.add(tuple(counts))

    def cap(self, kinds: frozenset[int], value: int) -> None:
        """Exclude each plan that uses exactly `kinds`, unless its bound is better than `value`."""
        self._caps[kinds] = min(value, self._caps.get(kinds, value))

    def solve(self, *, time_limit_s: float = 60.0) -> Answer:
        """Return the best plan that is left, or a bound of those that are, once the time is out."""
        end = time.monotonic() + time_limit_s
        while self._left() or self._queue:
            self._take_in(end)
            if time.monotonic() > end and not self._first_is_exact():
                return Answer("unknown", None, None, min(self._bounds()))
            if not self._queue:
                continue
            own, exact, turn, counts = self._queue[0]
            if self._out(counts, own):
                heappop(self._queue)
            elif exact:
                return Answer("optimal", counts, own, own)
            elif (found := self._exact(counts)) is None:
                heappop(self._queue)
            else:
                heapreplace(self._queue, (max(own, found), True, turn, counts))
        return Answer("infeasible", None, None, None)

    def _first_is_exact(self) -> bool:
        """Whether the plan that waits first is exact, and none that is laid out may be better."""
        if not self._queue:
            return False
        own, exact, *_ = self._queue[0]
        return exact and not (self._left() and self._plans.own[self._next] < own)

    def _left(self) -> bool:
        return self._next < len(self._plans.own)

    def _bounds(self) -> list[int]:
        """Return the bounds of what comes next of what is laid out, and of what waits."""
        laid_out = [int(self._plans.own[self._next])] if self._left() else []
        return laid_out + [own for own, *_ in self._queue[:1]]

    def _take_in(self, end: float) -> None:
        """Let the next plans wait in the queue, until none that is laid out may be better."""
        plans = self._plans
        while self._left() and not (self._queue and self._queue[0][0] <= plans.own[self._next]):
            if time.monotonic() > end:
                return
            own, counts = int(plans.own[self._next]), plans.counts(self._next, self._data.kinds)
            self._next += 1
            if not self._out(counts, own):
                if self._known is not None:
                    own = max(own, self._fixed(counts) + self._known(counts))
                heappush(self._queue, (own, False, self._next, counts))

    def _fixed(self, counts: Counts) -> int:
        return sum(kind.fixed * n for kind, n in zip(self._data.kinds, counts, strict=True))

    def _out(self, counts: Counts, own: int) -> bool:
        """Whether a plan of this bound is excluded."""
        kinds = frozenset(r for r, n in enumerate(counts) if n)
        return counts in self._cut or own >= self._caps.get(kinds, own + 1)

    def _exact(self, counts: Counts) -> int | None:
        """Return the exact bound of a plan, rounded down; None where it is none.

        It is reckoned without the other kinds, unless spares are idle only then.
        """
        used = tuple(r for r, n in enumerate(counts) if n)
        if used not in self._small:
            kinds = tuple(replace(self._data.kinds[r], companions=None) for r in used)
            small = replace(self._data, kinds=kinds)
            alike = small.spares_idle == self._data.spares_idle
            self._small[used] = small if alike else self._data
        small = self._small[used]
        numbers = counts if small is self._data else [counts[r] for r in used]
        exact = None if forbidden(small, numbers) else value(small, numbers)
        return None if exact is None else math.floor(exact)


def pairs(data: FleetData, known: Known | None = None) -> PairsModel | None:
    """Return the model of a question whose plans have two kinds at most, all of one role.

    None for others, where a share is maximised, or where too many plans are within the bounds.
    """
    if data.max_kinds != 2 or data.caches or data.sense == "max":
        return None
    most_kind = max((_greatest(data, kind) for kind in data.kinds), default=0)
    if 2 * most_kind > GREATEST:
        return None
    left, found = MOST_PLANS, []
    for lines in chain([_singles(data)], _lines(data)):
        left -= int((lines[4] - lines[3] + 1).sum())
        if left < 0:
            return None
        found.append(_spelled(lines))
    a, b, first, second = np.concatenate(found, axis=1)
    own = _own(data, a, b, first, second)
    return PairsModel(data, _ordered(a, b, first, second, own), known)


def _greatest(data: FleetData, kind: Kind) -> int:
    flow = max(sum(kind.flow), kind.least_flow + sum(kind.beyond_by))
    return (kind.fixed + data.start) * kind.max_count + flow


def _singles(data: FleetData) -> Int:
    """Return (5, lines) of one kind, as `_lines` does: none of it, and the least and the most."""
    usable = [r for r in range(len(data.kinds)) if possible(data, r)]
    rows = [(r, r, 0, fewest(data, r), most(data, r)) for r in usable]
    return np.array(rows, np.int64).reshape(-1, 5).T


def _spelled(lines: Int) -> Int:
    """Return (4, plans) of (5, lines): each with all numbers of the second kind, low to high."""
    a, b, first, low, high = lines
    many = high - low + 1
    start = np.repeat(np.cumsum(many) - many, many)
    second = np.arange(int(many.sum())) - start + np.repeat(low, many)
    return np.stack([*(np.repeat(column, many) for column in (a, b, first)), second])


def _lines(data: FleetData) -> Iterator[Int]:
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
            rest = _left_over(work[a], work[b], time_a) - late[b][:, None]
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


def _left_over(mine: Float, theirs: Float, time: Float) -> Float:
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


def _own(data: FleetData, a: Int, b: Int, first: Int, second: Int) -> Int:
    """Return bounds of objectives: what is `fixed`, all traffic where it is cheapest."""
    kinds = data.kinds
    fixed = np.array([kind.fixed for kind in kinds], np.int64)
    least = np.array([kind.least_flow for kind in kinds], np.int64)

    def cheapest(rows: list[tuple[int, ...]]) -> Int:
        table = np.array(rows, np.int64)
        return np.asarray(np.minimum(table[a], table[b]).sum(axis=1))

    flow = cheapest([kind.flow for kind in kinds])
    beyond = cheapest([kind.beyond_by for kind in kinds])
    flow = np.maximum(flow, np.minimum(least[a], least[b]) + beyond)
    return np.asarray(fixed[a] * first + fixed[b] * second + flow)


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
