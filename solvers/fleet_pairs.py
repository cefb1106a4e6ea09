"""Plans of at most two kinds of replica: arithmetic on arrays in place of a solver.

All numbers of two kinds that `fleet_lines` does not exclude are laid out, in order of a bound on
their objective. A plan whose turn comes is looked at once more by `fleet_verify`, in fractions.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from heapq import heappop, heappush, heapreplace
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from apex_opt.solvers.fleet import Answer
from apex_opt.solvers.fleet_alone import fewest, most, possible
from apex_opt.solvers.fleet_data import FleetData, Kind
from apex_opt.solvers.fleet_lines import lines
from apex_opt.solvers.fleet_listed import Known
from apex_opt.solvers.fleet_verify import forbidden, value

Counts = tuple[int, ...]
Int = NDArray[np.int64]

MOST_PLANS = 3_000_000
"""Plans that are laid out: 60 bytes each."""

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
    for some in chain([_singles(data)], lines(data)):
        left -= int((some[4] - some[3] + 1).sum())
        if left < 0:
            return None
        found.append(_spelled(some))
    a, b, first, second = np.concatenate(found, axis=1)
    own = _own(data, a, b, first, second)
    return PairsModel(data, _ordered(a, b, first, second, own), known)


def _greatest(data: FleetData, kind: Kind) -> int:
    flow = max(sum(kind.flow), kind.least_flow + sum(kind.beyond_by))
    return (kind.fixed + data.start) * kind.max_count + flow


def _singles(data: FleetData) -> Int:
    """Return (5, lines) as `fleet_lines` does, of one kind: none of it, the least, the most."""
    usable = [r for r in range(len(data.kinds)) if possible(data, r)]
    rows = [(r, r, 0, fewest(data, r), most(data, r)) for r in usable]
    return np.array(rows, np.int64).reshape(-1, 5).T


def _spelled(some: Int) -> Int:
    """Return (4, plans) of (5, lines): each with all numbers of the second kind, low to high."""
    a, b, first, low, high = some
    many = high - low + 1
    start = np.repeat(np.cumsum(many) - many, many)
    second = np.arange(int(many.sum())) - start + np.repeat(low, many)
    return np.stack([*(np.repeat(column, many) for column in (a, b, first)), second])


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
