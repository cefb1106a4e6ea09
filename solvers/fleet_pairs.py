"""Plans of at most two kinds of replica, one after the other: arithmetic in place of a solver.

They are laid out in arrays (`fleet_lines`), window by window on their objective, in order of a
bound. The bound of one whose turn comes is brought closer by what is known of the plan beside the
data, if anything is, and then reckoned exactly, by `fleet_verify`.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import replace
from heapq import heappop, heappush, heapreplace

from apex_opt.solvers.fleet import Answer
from apex_opt.solvers.fleet_data import FleetData
from apex_opt.solvers.fleet_lines import Counts, PairTable, Plans, greatest
from apex_opt.solvers.fleet_listed import Known
from apex_opt.solvers.fleet_verify import forbidden, value

GREATEST = 2**61
"""Objectives up to which sums fit 64 bits."""

WIDER, NARROWER, TRIES = 2, 4, 8
"""By how much a window grows, or shrinks where it has too many plans; how often it is made smaller.
"""


class PairsModel:
    """The plans of one or two kinds of a `FleetData`, as `FleetModel` gives them.

    Where more plans have bounds close together than can be laid out, it goes no further than their
    bound.

    Args:
        data: the question, see `pairs`.
        known: the least that the flow of a plan is worth, whatever the data say.
    """

    def __init__(self, data: FleetData, known: Known | None = None) -> None:
        self._data, self._known = data, known
        self._table = PairTable(data)
        self._upto, self._stuck = -1, False
        self._plans: Plans | None = None
        self._next = self._turn = 0
        self._cut: set[Counts] = set()
        self._caps: dict[frozenset[int], int] = {}
        self._queue: list[tuple[int, bool, int, Counts]] = []
        self._small: dict[Counts, FleetData] = {}
        self._widen()

    @property
    def upto(self) -> int:
        """The bound up to which plans have been laid out; -1: none could be."""
        return self._upto

    def cut(self, counts: Sequence[int]) -> None:
        """Exclude the plan with exactly these counts."""
        self._cut.add(tuple(counts))

    def cap(self, kinds: frozenset[int], value: int) -> None:
        """Exclude each plan that uses exactly `kinds`, unless its bound is better than `value`."""
        self._caps[kinds] = min(value, self._caps.get(kinds, value))

    def solve(self, *, time_limit_s: float = 60.0) -> Answer:
        """Return the best plan that is left, or a bound of those that are, once the time is out."""
        end = time.monotonic() + time_limit_s
        while True:
            self._take_in(end)
            rest = self._rest()
            if not self._queue:
                return Answer("infeasible" if rest is None else "unknown", None, None, rest)
            own, exact, turn, counts = self._queue[0]
            if self._out(counts, own):
                heappop(self._queue)
            elif rest is not None and rest < own:
                return Answer("unknown", None, None, rest)
            elif exact:
                return Answer("optimal", counts, own, own)
            elif time.monotonic() > end:
                return Answer("unknown", None, None, own)
            elif (found := self._exact(counts)) is None:
                heappop(self._queue)
            else:
                heapreplace(self._queue, (max(own, found), True, turn, counts))

    def _take_in(self, end: float) -> None:
        """Let plans wait in the queue until no other may be better, or the time is out."""
        while (rest := self._rest()) is not None and not (
            self._queue and self._queue[0][0] <= rest
        ):
            if time.monotonic() > end or (self._plans is None and self._stuck):
                return
            if self._plans is None:
                self._widen()
                continue
            counts = self._plans.counts(self._next, len(self._data.kinds))
            self._next += 1
            if self._next == len(self._plans.own):
                self._plans = None
            if not self._out(counts, rest):
                own = rest
                if self._known is not None:
                    own = max(own, self._fixed(counts) + self._known(counts))
                self._turn += 1
                heappush(self._queue, (own, False, self._turn, counts))

    def _rest(self) -> int | None:
        """Return a bound of the plans that do not wait in the queue; None: there is none."""
        if self._plans is not None:
            return int(self._plans.own[self._next])
        return self._upto + 1 if self._upto < self._table.greatest else None

    def _widen(self) -> None:
        """Lay out the plans of the next window."""
        table, above = self._table, self._upto
        upto = WIDER * max(above, table.promising) + 1
        for _ in range(TRIES):
            upto = min(upto, table.greatest)
            found = table.between(above, upto)
            if found is not None:
                self._upto, self._next = upto, 0
                self._plans = found if len(found.own) else None
                return
            upto = above + max((upto - above) // NARROWER, 1)
        self._stuck = True

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

    None for others, where a share is maximised, or where even the best are too many to lay out.
    """
    if data.max_kinds != 2 or data.caches or data.sense == "max":
        return None
    if 2 * max((greatest(data, kind) for kind in data.kinds), default=0) > GREATEST:
        return None
    model = PairsModel(data, known)
    return model if model.upto >= 0 else None
