"""Groups of devices stand inside nodes: which fit together, and where each one stands."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import pairwise

MAX_PATTERNS = 10_000

Stand = tuple[tuple[int, int], ...]
"""Where one group stands: (node, devices), nodes in order."""


def is_chain(sizes: Sequence[int]) -> bool:
    """Whether of any two sizes the smaller divides the larger."""
    return all(large % small == 0 for small, large in pairwise(sorted(set(sizes))))


def patterns(node_devices: int, sizes: Sequence[int]) -> tuple[tuple[int, ...], ...]:
    """Return the maximal ways to fill a node: numbers of groups of each size.

    Args:
        node_devices: devices of the node.
        sizes: of the groups, largest first, none larger than the node.

    Raises:
        ValueError: there are more than 10,000.
    """
    found: list[tuple[int, ...]] = []
    for pattern in _fillings(node_devices, tuple(sizes)):
        found.append(pattern)
        if len(found) > MAX_PATTERNS:
            raise ValueError(
                f"groups of {', '.join(map(str, sizes))} devices fill a node of {node_devices} in "
                f"more than {MAX_PATTERNS} ways; allow fewer sizes, or sizes that divide each other"
            )
    return tuple(found)


def _fillings(room: int, sizes: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
    """The smallest size takes all the room that is left, so each filling is maximal."""
    if len(sizes) <= 1:
        yield tuple(room // size for size in sizes)
        return
    for count in range(room // sizes[0], -1, -1):
        for rest in _fillings(room - count * sizes[0], sizes[1:]):
            yield (count, *rest)


def place(nodes: int, node_devices: int, groups: Sequence[int]) -> list[Stand] | None:
    """Return where each group stands, or None where they do not all fit.

    Args:
        nodes: how many there are.
        node_devices: devices of each.
        groups: devices of each group; one larger than a node is a multiple of it.

    Returns:
        For each group, in the order given, where it stands: one node, or whole nodes in a row.
        The same groups always stand in the same places.
    """
    order = sorted(range(len(groups)), key=lambda i: -groups[i])
    where: dict[int, Stand] = {}
    first = 0
    for i in order:
        if groups[i] > node_devices:
            end = first + groups[i] // node_devices
            where[i] = tuple((node, node_devices) for node in range(first, end))
            first = end
    if first > nodes:
        return None
    order = order[len(where) :]
    small = [groups[i] for i in order]
    found = _first_fit(nodes - first, node_devices, small)
    if found is None and not is_chain(small):
        found = _searched(nodes - first, node_devices, small)
    if found is None:
        return None
    where |= {i: ((first + node, groups[i]),) for i, node in zip(order, found, strict=True)}
    return [where[i] for i in range(len(groups))]


def _first_fit(nodes: int, room: int, small: Sequence[int]) -> list[int] | None:
    """Place groups, largest first, each on the first node with room for it.

    Exact for sizes that divide each other: when a group of size s comes, all loads are multiples of
    s, so it finds no node only if each holds floor(room / s) s already.
    """
    left = [room] * nodes
    found: list[int] = []
    node, last = 0, 0
    for size in small:
        # A node that was too full for this size stays so; a smaller one may fit again.
        node = node if size == last else 0
        last = size
        while node < nodes and left[node] < size:
            node += 1
        if node == nodes:
            return None
        left[node] -= size
        found.append(node)
    return found


def _searched(nodes: int, room: int, small: Sequence[int]) -> list[int] | None:
    """Place groups, largest first, by a full search over how many nodes get each pattern."""
    wanted = Counter(small)
    sizes = tuple(sorted(wanted, reverse=True))
    kinds = patterns(room, sizes)

    @cache
    def fill(k: int, nodes: int, left: tuple[int, ...]) -> tuple[int, ...] | None:
        """Return the patterns of the nodes that hold what is left, using k, k + 1, ... only."""
        if not any(left):
            return ()
        if sum(n * size for n, size in zip(left, sizes, strict=True)) > nodes * room:
            return None
        for used in range(k, len(kinds)):
            useful = max(-(-n // p) for n, p in zip(left, kinds[used], strict=True) if p)
            for count in range(min(nodes, useful), 0, -1):
                rest = tuple(max(0, n - count * p) for n, p in zip(left, kinds[used], strict=True))
                if (then := fill(used + 1, nodes - count, rest)) is not None:
                    return (used,) * count + then
        return None

    filled = fill(0, nodes, tuple(wanted[size] for size in sizes))
    if filled is None:
        return None
    seats = {
        size: iter([node for node, k in enumerate(filled) for _ in range(kinds[k][i])])
        for i, size in enumerate(sizes)
    }
    return [next(seats[size]) for size in small]
