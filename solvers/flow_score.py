"""What a placement carries, fast: for searches that ask a million times. Floats, no fractions."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from apex_opt.solvers.flow_jit import njit

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

TINY = 1e-9
COVER_WEIGHT = 0.1


@njit
def _path_by_position(first: Ints, last: Ints, room: Floats, back: Floats, came: Ints) -> bool:
    """Find a path of machines through all layers; came[p] is the machine by which p is reached.

    A machine is an arc from its first layer to the layer after its last; ~i is it backwards.
    """
    end = len(came) - 1
    queue = np.empty(end + 1, np.int64)
    came[:] = len(first)
    queue[0], done, filled = 0, 0, 1
    came[0] = -len(first) - 1
    while done < filled:
        p = queue[done]
        done += 1
        for i in range(len(first)):
            if first[i] == p and room[i] > TINY and came[last[i]] == len(first):
                came[last[i]] = i
                queue[filled] = last[i]
                filled += 1
            elif last[i] == p and back[i] > TINY and came[first[i]] == len(first):
                came[first[i]] = ~i
                queue[filled] = first[i]
                filled += 1
        if came[end] != len(first):
            return True
    return False


@njit
def _flow_of_machines(first: Ints, last: Ints, capacity: Floats, layers: int) -> float:
    """The maximum flow where links carry anything."""
    room, back = capacity.copy(), np.zeros(len(capacity))
    came = np.empty(layers + 1, np.int64)
    total = 0.0
    while _path_by_position(first, last, room, back, came):
        more, p = np.inf, layers
        while p:
            i = came[p]
            more = min(more, room[i] if i >= 0 else back[~i])
            p = first[i] if i >= 0 else last[~i]
        p = layers
        while p:
            i = came[p]
            j = i if i >= 0 else ~i
            sign = 1.0 if i >= 0 else -1.0
            room[j] -= sign * more
            back[j] += sign * more
            p = first[i] if i >= 0 else last[j]
        total += more
    return total


@njit
def _sorted_by(places: Ints, layers: int) -> tuple[Ints, Ints]:
    """Return machines in order of their place, and [p] where those at p begin in that order."""
    begin = np.zeros(layers + 2, np.int64)
    for p in places:
        begin[p + 1] += 1
    for p in range(layers + 1):
        begin[p + 1] += begin[p]
    order, filled = np.empty(len(places), np.int64), begin.copy()
    for i in range(len(places)):
        order[filled[places[i]]] = i
        filled[places[i]] += 1
    return order, begin


@njit
def _entered(starts: tuple[Ints, Ints], enter: Floats, came: Ints, queue: Ints) -> int:
    """Put the machines that the source reaches into the queue; return how many they are."""
    came[:] = -1
    filled = 0
    for k in range(starts[1][0], starts[1][1]):
        i = starts[0][k]
        if enter[i] > TINY:
            came[i], queue[filled] = len(came), i
            filled += 1
    return filled


@njit
def _path_by_link(
    first: Ints,
    last: Ints,
    starts: tuple[Ints, Ints],
    ends: tuple[Ints, Ints],
    room: Floats,
    through: Floats,
    links: Floats,
    over: Floats,
    enter: Floats,
    leave: Floats,
    came: Ints,
) -> int:
    """Find a path from source to sink; return the machine it leaves by, or -1.

    Tokens come to machine i at vertex i and leave it at vertex n + i. came[v] is the vertex before
    v, -1 where there is none yet, 2 n for the source. room and through are what machines can still
    carry, and carry; over is what links carry; enter and leave are what the ends have left.
    """
    n, layers = len(first), len(starts[1]) - 2
    queue = np.empty(2 * n, np.int64)
    done, filled = 0, _entered(starts, enter, came, queue)
    while done < filled:
        v = queue[done]
        done += 1
        if v < n:
            if room[v] > TINY and came[n + v] < 0:
                came[n + v], queue[filled] = v, n + v
                filled += 1
            for k in range(ends[1][first[v]], ends[1][first[v] + 1]):
                i = ends[0][k]
                if over[i, v] > TINY and came[n + i] < 0:
                    came[n + i], queue[filled] = v, n + i
                    filled += 1
            continue
        i = v - n
        if last[i] == layers:
            if leave[i] > TINY:
                return int(i)
        else:
            for k in range(starts[1][last[i]], starts[1][last[i] + 1]):
                j = starts[0][k]
                if links[i, j] - over[i, j] > TINY and came[j] < 0:
                    came[j], queue[filled] = v, j
                    filled += 1
        if through[i] > TINY and came[i] < 0:
            came[i], queue[filled] = v, i
            filled += 1
    return -1


@njit
def _push(
    by: int,
    room: Floats,
    through: Floats,
    links: Floats,
    over: Floats,
    enter: Floats,
    leave: Floats,
    came: Ints,
) -> float:
    """Send along the path that leaves by machine `by` as much as it carries; return how much."""
    n = len(room)
    more = leave[by]
    for pushing in (False, True):
        v = n + by
        while v != 2 * n:
            u = came[v]
            if u == 2 * n:
                left = enter[v]
                enter[v] -= more if pushing else 0.0
            elif u < n and v == n + u:
                left = room[u]
                room[u] -= more if pushing else 0.0
                through[u] += more if pushing else 0.0
            elif u >= n and v == u - n:
                left = through[v]
                room[v] += more if pushing else 0.0
                through[v] -= more if pushing else 0.0
            elif u >= n:
                left = links[u - n, v] - over[u - n, v]
                over[u - n, v] += more if pushing else 0.0
            else:
                left = over[v - n, u]
                over[v - n, u] -= more if pushing else 0.0
            if not pushing:
                more = min(more, left)
            v = u
    leave[by] -= more
    return float(more)


@njit
def _flow_of_links(
    first: Ints,
    last: Ints,
    capacity: Floats,
    layers: int,
    enter: Floats,
    leave: Floats,
    links: Floats,
) -> float:
    """The maximum flow."""
    n = len(first)
    starts, ends = _sorted_by(first, layers), _sorted_by(last, layers)
    room, through, over = capacity.copy(), np.zeros(n), np.zeros((n, n))
    enter, leave = enter.copy(), leave.copy()
    came = np.empty(2 * n, np.int64)
    total = 0.0
    while True:
        by = _path_by_link(
            first, last, starts, ends, room, through, links, over, enter, leave, came
        )
        if by < 0:
            return total
        total += _push(by, room, through, links, over, enter, leave, came)


@njit
def _over_places(
    first: Ints,
    last: Ints,
    capacity: Floats,
    layers: int,
    enter: Floats,
    leave: Floats,
    links: Floats,
) -> Floats:
    """Return (2 layers + 1,) what can pass: at 2 p + 1 over layer p, at 2 p between p - 1 and p.

    Over a layer, what its machines carry; between two, what machines over both do, and links from
    those that end there to those that begin there.
    """
    most = np.zeros(2 * layers + 1)
    for i in range(len(first)):
        for p in range(2 * first[i] + 1, 2 * last[i]):
            most[p] += capacity[i]
        if first[i] == 0:
            most[0] += min(capacity[i], enter[i])
        if last[i] == layers:
            most[2 * layers] += min(capacity[i], leave[i])
            continue
        for j in range(len(first)):
            if first[j] == last[i]:
                most[2 * last[i]] += min(links[i, j], capacity[i], capacity[j])
    return most


@njit
def score(
    first: Ints,
    last: Ints,
    capacity: Floats,
    layers: int,
    enter: Floats,
    leave: Floats,
    links: Floats,
    wide: bool,
    target: float,
    needed: float,
) -> tuple[float, float]:
    """Return the flow of a placement and its value, which is the flow and a little of its cover.

    Args:
        first: (machines,) first layer of each.
        last: (machines,) layer after the last of each.
        capacity: (machines,) what each carries there.
        layers: of the model.
        enter: (machines,) of the link from the source.
        leave: (machines,) of the link to the sink.
        links: (machines, machines) of the link between two.
        wide: whether links carry anything.
        target: more than this is worth nothing over any one layer, or between two.
        needed: a value below it may be any value below it, and the flow any.
    """
    most = _over_places(first, last, capacity, layers, enter, leave, links)
    extra = 0.0
    for p in range(len(most)):
        extra += min(most[p], target)
    extra *= COVER_WEIGHT / len(most)
    flow = most.min()
    if flow + extra >= needed:
        flow = _flow_of_machines(first, last, capacity, layers)
        if not wide and flow + extra >= needed:
            flow = _flow_of_links(first, last, capacity, layers, enter, leave, links)
    return flow, flow + extra
