"""How many plans there are: count vectors that the stock allows, whatever the traffic.

A table [k][load] holds in how many ways k kinds take `load` devices (or nodes). A kind whose
replicas take t each, at most N of them, adds to every entry those 1 .. N steps of t before it: the
difference of two sums along steps of t, so a kind costs one pass over the table.

Kinds that stand in several pools come first: what they take of each pool is left out of it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import accumulate

from apex_opt.solvers.fleet_data import FleetData
from apex_opt.solvers.packing import is_chain

Table = list[list[int]]
Item = tuple[int, int]
"""What one replica takes, and the most of them."""

MOST_TAKEN = 5000
"""Ways in which kinds that stand in several pools take from them, up to which each is told."""


def space(data: FleetData) -> int:
    """Return the number of plans with one replica or more: counts that fit stock and `max_kinds`.

    Limits of money, power, devices, companions and demand are not looked at. Exact where the group
    sizes of a pool divide each other; elsewhere nodes are taken as one heap of devices, so that
    the number is an upper bound. So it is where kinds that stand in several pools meet sizes that
    leave a rest of a node, or take from the pools in very many ways.
    """
    pools = [_pool_ways(data, p) for p in range(len(data.pools))]
    total = 0
    for (used, taken), times in _across(data).items():
        ways = [0] * used + [times] + [0] * (data.max_kinds - used)
        for table, devices in zip(pools, taken, strict=True):
            mine = [row[len(row) - 1 - devices] for row in table]
            ways = [sum(ways[i] * mine[k - i] for i in range(k + 1)) for k in range(len(ways))]
        total += sum(ways[1:])
    return total


def _across(data: FleetData) -> dict[tuple[int, tuple[int, ...]], int]:
    """Return for (kinds, devices of each pool) in how many ways kinds of several pools take them.

    Past `MOST_TAKEN` entries what they take is forgotten.
    """
    none = (0,) * len(data.pools)
    room = [pool.nodes * pool.node_devices for pool in data.pools]
    ways = {(0, none): 1}
    for kind in (kind for kind in data.kinds if kind.also):
        each = [kind.devices_in(p) for p in range(len(room))]
        grown = Counter(ways)
        for (used, taken), times in ways.items():
            for n in range(1, kind.max_count + 1 if used < data.max_kinds else 1):
                sums = tuple(t + n * e for t, e in zip(taken, each, strict=True))
                if any(t > r for t, r in zip(sums, room, strict=True)):
                    break
                grown[used + 1, sums] += times
        ways = dict(grown)
        if len(ways) > MOST_TAKEN:
            by_number = Counter[tuple[int, tuple[int, ...]]]()
            for (used, _), times in ways.items():
                by_number[used, none] += times
            ways = dict(by_number)
    return ways


def _alone(data: FleetData, p: int) -> list[int]:
    """Return the kinds that stand in this pool and in no other."""
    return [r for r in data.members[p] if not data.kinds[r].also]


def _pool_ways(data: FleetData, p: int) -> Table:
    """Return [kinds][free devices], how many count vectors of its own kinds the pool can hold."""
    pool, sizes = data.pools[p], data.sizes[p]
    node = pool.node_devices
    if is_chain(sizes) and any(node % size for size in sizes):
        return [[ways] * (pool.nodes * node + 1) for ways in _uneven_ways(data, p)]
    # If all sizes fill a node without rest, groups fit as soon as there are devices enough.
    table = _empty(data.max_kinds, pool.nodes * node)
    for r in _alone(data, p):
        _add(table, (data.kinds[r].devices, data.kinds[r].max_count))
    return [list(accumulate(row)) for row in table]


def _uneven_ways(data: FleetData, p: int) -> list[int]:
    """Count by the nodes that groups larger than a node leave free."""
    pool = data.pools[p]
    whole = _empty(data.max_kinds, pool.nodes)
    for r in _alone(data, p):
        if nodes := data.whole_nodes(r, p):
            _add(whole, (nodes * data.kinds[r].groups, data.kinds[r].max_count))
    ways = [0] * (data.max_kinds + 1)
    for taken in range(pool.nodes + 1):
        large = [row[taken] for row in whole]
        if any(large):
            small = _inside_ways(data, p, pool.nodes - taken)
            for k in range(data.max_kinds + 1):
                ways[k] += sum(large[i] * small[k - i] for i in range(k + 1))
    return ways


def _inside_ways(data: FleetData, p: int, nodes: int) -> list[int]:
    """Count what `nodes` nodes hold of the groups that stand inside one, largest first.

    With all groups of size >= s placed, they take at most floor(c / s) s of each node: the row of
    the fleet model. The smaller s, the more that is, so the table grows from size to size.
    """
    node = data.pools[p].node_devices
    table = _empty(data.max_kinds, 0)
    for size in data.sizes[p]:
        room = nodes * (node // size * size)
        table = [row + [0] * (room + 1 - len(row)) for row in table]
        for r in _alone(data, p):
            if data.kinds[r].group_devices == size:
                _add(table, (data.kinds[r].devices, data.kinds[r].max_count))
    return [sum(row) for row in table]


def _empty(kinds: int, room: int) -> Table:
    """Return the table of nothing: one way to use no kind and no room."""
    return [[1] + [0] * room] + [[0] * (room + 1) for _ in range(kinds)]


def _add(table: Table, item: Item) -> None:
    """Let a kind join, in place."""
    step, most = item
    for k in range(len(table) - 1, 0, -1):
        sums = _sums(table[k - 1], step)
        beyond = step * most
        for load in range(step, len(sums)):
            behind = load - step - beyond
            table[k][load] += sums[load - step] - (sums[behind] if behind >= 0 else 0)


def _sums(row: Sequence[int], step: int) -> list[int]:
    """Return at each load the sum over this load and all that lie whole steps before it."""
    sums = list(row)
    for load in range(step, len(sums)):
        sums[load] += sums[load - step]
    return sums
