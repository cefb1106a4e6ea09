"""A second look at a placement, in fractions and without a solver: is it one, what does it carry?

Nothing here shares code with the search. Rates are floats, which are fractions; the maximum flow of
those fractions is exact.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from fractions import Fraction

from apex_opt.solvers.flow_data import FlowData, Placement

Residual = list[dict[int, Fraction]]
"""[vertex][vertex], what can still be added to the flow from the one to the other."""


def faults(data: FlowData, placement: Placement) -> list[str]:
    """Return in words what is wrong with `placement`; nothing if it is one."""
    return [*_faults(data, placement)]


def _faults(data: FlowData, placement: Placement) -> Iterator[str]:
    if len(placement) != len(data.machines):
        yield f"there are {len(placement)} intervals for {len(data.machines)} machines"
        return
    for i, (first, last) in enumerate(placement):
        if not 0 <= first < last <= data.layers:
            yield f"machine {i}: [{first}, {last}) is no interval of the {data.layers} layers"
        elif last - first > data.holds(i):
            yield f"machine {i}: {last - first} layers, it holds at most {data.holds(i)}"


def throughput(data: FlowData, placement: Placement) -> Fraction:
    """Return the tokens a second that can flow through `placement`, exactly.

    Args:
        data: the machines and their links.
        placement: a placement without faults.

    Source: J. Edmonds, R. M. Karp, "Theoretical improvements in algorithmic efficiency for network
    flow problems", Journal of the ACM 19, 1972: the shortest path that still carries, until none
    does.
    """
    left = _network(data, placement)
    source, sink = len(left) - 2, len(left) - 1
    total = Fraction(0)
    while path := _path(left, source, sink):
        more = min(left[u][v] for u, v in path)
        for u, v in path:
            left[u][v] -= more
            left[v][u] = left[v].get(u, Fraction(0)) + more
        total += more
    return total


def _network(data: FlowData, placement: Placement) -> Residual:
    """Vertices 2i and 2i + 1 are where tokens come to machine i and where they leave it."""
    count = len(placement)
    source, sink = 2 * count, 2 * count + 1
    left: Residual = [{} for _ in range(2 * count + 2)]
    for i, interval in enumerate(placement):
        left[2 * i][2 * i + 1] = Fraction(data.rate(i, interval))
        if interval[0] == 0:
            left[source][2 * i] = Fraction(data.enter[i])
        if interval[1] == data.layers:
            left[2 * i + 1][sink] = Fraction(data.leave[i])
        for j, other in enumerate(placement):
            if interval[1] == other[0]:
                left[2 * i + 1][2 * j] = Fraction(data.links[i][j])
    return left


def _path(left: Residual, source: int, sink: int) -> list[tuple[int, int]]:
    """Return the edges of a shortest path that still carries; none if there is none."""
    came: dict[int, int] = {source: source}
    queue = deque([source])
    while queue and sink not in came:
        u = queue.popleft()
        for v, room in left[u].items():
            if room > 0 and v not in came:
                came[v] = u
                queue.append(v)
    path = []
    v = sink
    while v in came and v != source:
        path.append((came[v], v))
        v = came[v]
    return path[::-1]
