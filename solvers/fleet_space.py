"""How many plans there are: count vectors that the stock allows, whatever the traffic.

A table [k][load] holds in how many ways kinds take `load` devices (or nodes), k = (a, b) being how
many of them prefill, or are mixed, and how many decode. A kind whose replicas take t each, m to N
of them, adds to every entry those m .. N steps of t before it: the difference of two sums along
steps of t, so a kind costs one pass over the table.

Kinds that stand in several pools come first: what they take of each pool is left out of it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate

from apex_opt.solvers.fleet_data import FleetData, Kind
from apex_opt.solvers.packing import is_chain

Used = tuple[int, int]
"""How many kinds are used of those that prefill, or are mixed, and of those that decode."""

Ways = dict[Used, int]
Table = dict[Used, list[int]]
Taken = tuple[int, ...]

MOST_TAKEN = 5000
"""Ways in which kinds that stand in several pools take from them, up to which each is told."""


def space(data: FleetData) -> int:
    """Return the number of plans with one replica or more: counts that stock and `max_kinds` allow.

    Spares count, limits of money, power, devices, starts, companions and demand do not. Exact where
    the group sizes of a pool divide each other; elsewhere nodes are taken as one heap of devices,
    so that the number is an upper bound. So it is where kinds that stand in several pools meet
    sizes that leave a rest of a node, or take from the pools in very many ways.
    """
    mixed = _Choice(data, data.of_role("mixed"), (data.max_kinds, 0))
    total = sum(n for used, n in mixed.ways().items() if any(used))
    for f in data.caches:
        kinds = (*data.of_role("prefill", f), *data.of_role("decode", f))
        apart = _Choice(data, kinds, (data.max_kinds, data.max_kinds))
        total += sum(n for used, n in apart.ways().items() if all(used))
    return total


@dataclass(frozen=True)
class _Choice:
    """Kinds that may stand together, and how many of them at most."""

    data: FleetData
    kinds: Sequence[int]
    most: Used

    @cached_property
    def numbers(self) -> list[Used]:
        """All numbers of kinds, ascending."""
        return [(a, b) for a in range(self.most[0] + 1) for b in range(self.most[1] + 1)]

    def ways(self) -> Ways:
        """Return for each number of kinds how many count vectors there are."""
        pools = [self._pool(p) for p in range(len(self.data.pools))]
        total: Ways = dict.fromkeys(self.numbers, 0)
        for (used, taken), times in self._across().items():
            ways = {used: times}
            for table, devices in zip(pools, taken, strict=True):
                mine = {u: n for u, row in table.items() if (n := row[len(row) - 1 - devices])}
                ways = self._both(ways, mine)
            for u, n in ways.items():
                total[u] += n
        return total

    def _both(self, some: Ways, others: Ways) -> Ways:
        """Return in how many ways there are some and others, for each number of kinds in all."""
        found: Counter[Used] = Counter()
        for (a, b), n in some.items():
            for (c, d), m in others.items():
                if a + c <= self.most[0] and b + d <= self.most[1]:
                    found[a + c, b + d] += n * m
        return found

    def _more(self, used: Used, kind: Kind) -> Used:
        """Return the number of kinds with one more."""
        return (used[0], used[1] + 1) if kind.role == "decode" else (used[0] + 1, used[1])

    def _across(self) -> dict[tuple[Used, Taken], int]:
        """Return for (kinds, devices of each pool) in how many ways kinds of several pools do.

        Past `MOST_TAKEN` entries what they take is forgotten.
        """
        pools = self.data.pools
        none = (0,) * len(pools)
        room = [pool.nodes * pool.node_devices for pool in pools]
        ways: dict[tuple[Used, Taken], int] = {((0, 0), none): 1}
        for kind in (self.data.kinds[r] for r in self.kinds if self.data.kinds[r].also):
            each = [kind.devices_in(p) for p in range(len(room))]
            grown = Counter(ways)
            for (used, taken), times in ways.items():
                more = self._more(used, kind)
                most = kind.max_count if more in self.numbers else 0
                for n in range(1 + kind.spare, most + 1):
                    sums = tuple(t + n * e for t, e in zip(taken, each, strict=True))
                    if any(t > r for t, r in zip(sums, room, strict=True)):
                        break
                    grown[more, sums] += times
            ways = dict(grown)
            if len(ways) > MOST_TAKEN:
                by_number = Counter[tuple[Used, Taken]]()
                for (used, _), times in ways.items():
                    by_number[used, none] += times
                ways = dict(by_number)
        return ways

    def _alone(self, p: int) -> Iterator[Kind]:
        """Yield the kinds that stand in this pool and in no other."""
        mine = set(self.data.members[p])
        for kind in (self.data.kinds[r] for r in self.kinds if r in mine):
            if not kind.also:
                yield kind

    def _pool(self, p: int) -> Table:
        """Return [kinds][free devices], how many count vectors of its own kinds the pool holds."""
        pool, sizes = self.data.pools[p], self.data.sizes[p]
        node = pool.node_devices
        if is_chain(sizes) and any(node % size for size in sizes):
            return {u: [n] * (pool.nodes * node + 1) for u, n in self._uneven(p).items()}
        # If all sizes fill a node without rest, groups fit as soon as there are devices enough.
        table = self._empty(pool.nodes * node)
        for kind in self._alone(p):
            self._add(table, kind, kind.devices)
        return {u: list(accumulate(row)) for u, row in table.items()}

    def _uneven(self, p: int) -> Ways:
        """Count by the nodes that groups larger than a node leave free."""
        pool = self.data.pools[p]
        whole = self._empty(pool.nodes)
        for kind in self._alone(p):
            if kind.group_devices > pool.node_devices:
                self._add(whole, kind, kind.devices // pool.node_devices)
        ways: Counter[Used] = Counter()
        for taken in range(pool.nodes + 1):
            large = {u: row[taken] for u, row in whole.items() if row[taken]}
            if large:
                ways.update(self._both(large, self._inside(p, pool.nodes - taken)))
        return ways

    def _inside(self, p: int, nodes: int) -> Ways:
        """Count what `nodes` nodes hold of the groups that stand inside one, largest first.

        With all groups of size >= s placed, they take at most floor(c / s) s of each node: the row
        of the fleet model. The smaller s, the more that is, so the table grows from size to size.
        """
        node = self.data.pools[p].node_devices
        table = self._empty(0)
        for size in self.data.sizes[p]:
            room = nodes * (node // size * size)
            table = {u: row + [0] * (room + 1 - len(row)) for u, row in table.items()}
            for kind in self._alone(p):
                if kind.group_devices == size:
                    self._add(table, kind, kind.devices)
        return {u: sum(row) for u, row in table.items()}

    def _empty(self, room: int) -> Table:
        """Return the table of nothing: one way to use no kind and no room."""
        return {u: [0 if any(u) else 1, *[0] * room] for u in self.numbers}

    def _add(self, table: Table, kind: Kind, step: int) -> None:
        """Let a kind join, of which a replica takes `step`, in place."""
        least, beyond = step * (1 + kind.spare), step * kind.max_count
        if least > beyond:
            return
        for used in reversed(self.numbers):
            if (more := self._more(used, kind)) not in table:
                continue
            row, sums = table[more], _sums(table[used], step)
            for load in range(least, len(sums)):
                behind = load - step - beyond
                row[load] += sums[load - least] - (sums[behind] if behind >= 0 else 0)


def _sums(row: Sequence[int], step: int) -> list[int]:
    """Return at each load the sum over this load and all that lie whole steps before it."""
    sums = list(row)
    for load in range(step, len(sums)):
        sums[load] += sums[load - step]
    return sums
