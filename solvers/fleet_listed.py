"""Every plan of a small space, in order of its bound: exact arithmetic in place of a solver.

Plans wait in a queue in order of a loose bound, in which all of the traffic goes where it is
cheapest (for sense `max`: is served). The bound of one that comes first is brought closer by what
is known of the plan beside the data, if anything is, and then reckoned exactly, by
`fleet_verify.value`. It waits again each time, and is the answer where it is still first.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from heapq import heapify, heappop, heapreplace
from itertools import islice

from apex_opt.solvers.fleet import Answer
from apex_opt.solvers.fleet_data import FleetData
from apex_opt.solvers.fleet_verify import forbidden, value

Counts = tuple[int, ...]
Known = Callable[[Counts], int]
Held = dict[int, int]
Room = tuple[int, ...]

MOST = 300
"""Plans of a space that is listed. The exact bound of one takes 1 to 5 ms, more where it has more
than two kinds; an answer of the solver 10 ms to 1 s, and there may be as many answers as plans.
"""


def plans(data: FleetData) -> Iterator[Counts]:
    """Yield each plan that roles, spares, `max_kinds`, the devices of pools and limits allow."""
    room, takes = _sums(data)
    usable = {
        r
        for r, kind in enumerate(data.kinds)
        if kind.spare < kind.max_count and _left(room, takes[r], 1 + kind.spare)
    }
    apart = [(data.of_role("prefill", f), data.of_role("decode", f)) for f in data.caches]
    for roles in ((data.of_role("mixed"),), *apart):
        mine = [[r for r in kinds if r in usable] for kinds in roles]
        for held in _filled(data, takes, mine, room) if all(mine) else ():
            yield tuple(held.get(r, 0) for r in range(len(data.kinds)))


def _sums(data: FleetData) -> tuple[Room, list[Room]]:
    """Return how many devices and how much of what is limited there is, and what each kind takes.

    Limits to which a kind adds are left out: a plan beyond one may grow into one within it.
    """
    limits = [limit for limit in data.limits if min(limit.each.values(), default=0) >= 0]
    devices = [pool.nodes * pool.node_devices for pool in data.pools]
    takes = [
        (*map(kind.devices_in, range(len(devices))), *(limit.each.get(r, 0) for limit in limits))
        for r, kind in enumerate(data.kinds)
    ]
    return (*devices, *(limit.most for limit in limits)), takes


def _left(room: Room, each: Room, n: int) -> Room | None:
    """Return the room that `n` replicas leave; None where there is too little for them."""
    left = tuple(has - n * takes for has, takes in zip(room, each, strict=True))
    return left if min(left) >= 0 else None


def _filled(
    data: FleetData, takes: Sequence[Room], roles: Sequence[Sequence[int]], room: Room
) -> Iterator[Held]:
    """Yield replicas of each role, one or more."""
    if not roles:
        yield {}
        return
    for held, left in _of_role(data, takes, roles[0], data.max_kinds, room):
        if held:
            for others in _filled(data, takes, roles[1:], left):
                yield held | others


def _of_role(
    data: FleetData, takes: Sequence[Room], kinds: Sequence[int], most: int, room: Room
) -> Iterator[tuple[Held, Room]]:
    """Yield replicas of at most so many of `kinds`, with the room that they leave."""
    yield {}, room
    for i, r in enumerate(kinds if most else ()):
        for n in range(1 + data.kinds[r].spare, data.kinds[r].max_count + 1):
            left = _left(room, takes[r], n)
            if left is None:
                break
            for held, rest in _of_role(data, takes, kinds[i + 1 :], most - 1, left):
                yield {r: n, **held}, rest


def few(data: FleetData, most: int = MOST) -> bool:
    """Whether a space has at most so many plans."""
    return next(islice(plans(data), most, None), None) is None


class ListedModel:
    """The plans of a `FleetData`, one after the other, as `FleetModel` gives them.

    Of equal bounds the plan with the most replicas comes first; sets of kinds take turns.

    Args:
        data: the question.
        known: the least that the flow of a plan is worth, whatever the data say; for sense `min`.
    """

    def __init__(self, data: FleetData, known: Known | None = None) -> None:
        self._data, self._known = data, known
        self._last = 1 if known is None else 2  # times that a bound is brought closer
        self._sign = -1 if data.sense == "max" else 1
        self._cut: set[Counts] = set()
        self._caps: dict[frozenset[int], int] = {}
        turns = Counter[frozenset[int]]()
        self._queue: list[tuple[int, int, int, Counts]] = []
        for counts in sorted(plans(data), key=sum, reverse=True):
            kinds = _kinds(counts)
            self._queue.append((self._loose(counts), 0, turns[kinds], counts))
            turns[kinds] += 1
        heapify(self._queue)

    def cut(self, counts: Sequence[int]) -> None:
        """Exclude the plan with exactly these counts."""
        self._cut.add(tuple(counts))

    def cap(self, kinds: frozenset[int], value: int) -> None:
        """Exclude each plan that uses exactly `kinds`, unless its bound is better than `value`."""
        own = self._sign * value
        self._caps[kinds] = min(own, self._caps.get(kinds, own))

    def solve(self, *, time_limit_s: float = 60.0) -> Answer:
        """Return the best plan that is left, or a bound of those that are, once the time is out."""
        end = time.monotonic() + time_limit_s
        while self._queue:
            own, closer, turn, counts = self._queue[0]
            if counts in self._cut or own >= self._caps.get(_kinds(counts), own + 1):
                heappop(self._queue)
            elif closer == self._last:
                bound = self._sign * own
                return Answer("optimal", counts, bound, bound)
            elif time.monotonic() > end:
                return Answer("unknown", None, None, self._sign * own)
            elif (found := self._closer(counts, own, closer)) is None:
                heappop(self._queue)
            else:
                heapreplace(self._queue, (found, closer + 1, turn, counts))
        return Answer("infeasible", None, None, None)

    def _loose(self, counts: Counts) -> int:
        """Return the least own value: what is `fixed`, and all traffic where it is cheapest."""
        data = self._data
        if data.sense == "max":
            return -data.total
        used = [r for r, n in enumerate(counts) if n]
        kinds = [data.kinds[r] for r in used]
        who = [[i for i, r in enumerate(used) if data.serves(r, j)] for j in range(data.features)]

        def cheapest(rows: Sequence[Sequence[int]]) -> int:
            return sum(min((rows[i][j] for i in mine), default=0) for j, mine in enumerate(who))

        least = min(kind.least_flow for kind in kinds) + cheapest([k.beyond_by for k in kinds])
        return self._fixed(counts) + max(cheapest([kind.flow for kind in kinds]), least)

    def _closer(self, counts: Counts, own: int, closer: int) -> int | None:
        """Return an own value that is no less; None where it is no plan."""
        if closer == 0 and self._known is not None:
            return max(own, self._fixed(counts) + self._known(counts))
        exact = self._exact(counts)
        return None if exact is None else max(own, exact)

    def _fixed(self, counts: Counts) -> int:
        return sum(kind.fixed * n for kind, n in zip(self._data.kinds, counts, strict=True))

    def _exact(self, counts: Counts) -> int | None:
        """Return the own value, rounded to the safe side; None where it is no plan."""
        if forbidden(self._data, counts):
            return None
        exact = value(self._data, counts)
        return None if exact is None else math.floor(self._sign * exact)


def _kinds(counts: Counts) -> frozenset[int]:
    return frozenset(r for r, n in enumerate(counts) if n)
