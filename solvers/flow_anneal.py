"""Simulated annealing over placements, where each is scored by its maximum flow.

Blocks in a row are most of the way where every link is wide; annealing makes of them what slow or
missing links ask for, and networks that are not series and parallel. A state is an interval for
each machine. Its value is the flow, and a little of how well the layers are covered, which leads
over plateaus where one machine alone changes nothing.

Source: S. Kirkpatrick, C. D. Gelatt, M. P. Vecchi, "Optimization by simulated annealing", Science
220, 1983.
"""

from __future__ import annotations

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from apex_opt.solvers.flow_data import FlowData, Placement
from apex_opt.solvers.flow_jit import njit

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

TINY = 1e-9
COVER_WEIGHT = 0.1
COLD = 3e-4
"""Last temperature, as a part of the target."""


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
def _path_by_link(left: Floats, came: Ints) -> bool:
    """Find a path from the last vertex but one to the last; came[v] is the vertex before v."""
    count = len(came)
    queue = np.empty(count, np.int64)
    came[:] = -1
    queue[0], done, filled = count - 2, 0, 1
    came[count - 2] = count - 2
    while done < filled and came[count - 1] < 0:
        u = queue[done]
        done += 1
        for v in range(count):
            if came[v] < 0 and left[u, v] > TINY:
                came[v] = u
                queue[filled] = v
                filled += 1
    return bool(came[count - 1] >= 0)


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
    """The maximum flow; tokens come to machine i at vertex i and leave it at vertex n + i."""
    n = len(first)
    left = np.zeros((2 * n + 2, 2 * n + 2))
    for i in range(n):
        left[i, n + i] = capacity[i]
        if first[i] == 0:
            left[2 * n, i] = enter[i]
        if last[i] == layers:
            left[n + i, 2 * n + 1] = leave[i]
        for j in range(n):
            if last[i] == first[j]:
                left[n + i, j] = links[i, j]
    came = np.empty(2 * n + 2, np.int64)
    total = 0.0
    while _path_by_link(left, came):
        more, v = np.inf, 2 * n + 1
        while v != 2 * n:
            more = min(more, left[came[v], v])
            v = came[v]
        v = 2 * n + 1
        while v != 2 * n:
            left[came[v], v] -= more
            left[v, came[v]] += more
            v = came[v]
        total += more
    return total


@njit
def _cover(first: Ints, last: Ints, capacity: Floats, layers: int, target: float) -> float:
    """The mean over the layers of what the machines that hold one carry, at most `target`."""
    change = np.zeros(layers + 1)
    for i in range(len(first)):
        change[first[i]] += capacity[i]
        change[last[i]] -= capacity[i]
    total, now = 0.0, 0.0
    for p in range(layers):
        now += change[p]
        total += min(now, target)
    return total / layers


@njit
def _aligned(first: Ints, last: Ints, holds: Ints, layers: int, rng: Generator) -> None:
    """Move a machine to where others begin or end, or anywhere."""
    i = rng.integers(0, len(first))
    length = 1 + rng.integers(0, holds[i])
    other = rng.integers(0, len(first))
    kind = rng.integers(0, 6)
    at = rng.integers(0, layers - length + 1)
    if kind < 2:
        at = last[other]
    elif kind < 4:
        at = first[other] - length
    elif kind == 4:
        at, length = last[other], first[rng.integers(0, len(first))] - last[other]
    if 1 <= length <= holds[i] and at >= 0 and at + length <= layers:
        first[i], last[i] = at, at + length


@njit
def _resized(first: Ints, last: Ints, holds: Ints, layers: int, rng: Generator) -> None:
    """Move one end of a machine by a few layers."""
    i = rng.integers(0, len(first))
    by = rng.integers(-3, 4)
    begin, end = first[i], last[i]
    if rng.integers(0, 2):
        begin += by
    else:
        end += by
    if begin >= 0 and end <= layers and 1 <= end - begin <= holds[i]:
        first[i], last[i] = begin, end


@njit
def _shifted(first: Ints, last: Ints, holds: Ints, layers: int, rng: Generator) -> None:
    """Move a place where machines begin and end, for all of them or for some."""
    p = last[rng.integers(0, len(first))]
    by = rng.integers(-3, 4)
    if p == layers or not 0 < p + by < layers:
        return
    share = 1.0 if rng.integers(0, 2) else 0.5
    for i in range(len(first)):
        if rng.random() < share:
            begin = first[i] + by if first[i] == p else first[i]
            end = last[i] + by if last[i] == p else last[i]
            if 1 <= end - begin <= holds[i]:
                first[i], last[i] = begin, end


@njit
def _swapped(first: Ints, last: Ints, holds: Ints, rng: Generator) -> None:
    """Let two machines take each other's interval."""
    i, j = rng.integers(0, len(first)), rng.integers(0, len(first))
    if last[i] - first[i] <= holds[j] and last[j] - first[j] <= holds[i]:
        first[i], first[j] = first[j], first[i]
        last[i], last[j] = last[j], last[i]


@njit
def _doubled(first: Ints, last: Ints, holds: Ints, rng: Generator) -> None:
    """Put a machine beside another."""
    i, j = rng.integers(0, len(first)), rng.integers(0, len(first))
    if last[j] - first[j] <= holds[i]:
        first[i], last[i] = first[j], last[j]


@njit
def _exchanged(first: Ints, last: Ints, layers: int, rng: Generator) -> None:
    """Exchange two neighbouring runs of layers with all machines in them, if none crosses."""
    crossed = np.zeros(layers + 2, np.int64)
    for i in range(len(first)):
        crossed[first[i] + 1] += 1
        crossed[last[i]] -= 1
    cuts = np.empty(layers + 1, np.int64)
    count, now = 0, 0
    for p in range(layers + 1):
        now += crossed[p]
        if now == 0:
            cuts[count] = p
            count += 1
    if count < 3:
        return
    a, b, c = np.sort(
        np.array(
            [
                cuts[rng.integers(0, count)],
                cuts[rng.integers(0, count)],
                cuts[rng.integers(0, count)],
            ]
        )
    )
    for i in range(len(first)):
        by = c - b if a <= first[i] < b else a - b if b <= first[i] < c else 0
        first[i] += by
        last[i] += by


@njit
def _moved(first: Ints, last: Ints, holds: Ints, layers: int, rng: Generator) -> None:
    """Change the intervals of one or more machines at random, within what they hold."""
    kind = rng.integers(0, 6)
    if kind == 0:
        _aligned(first, last, holds, layers, rng)
    elif kind == 1:
        _resized(first, last, holds, layers, rng)
    elif kind == 2:
        _shifted(first, last, holds, layers, rng)
    elif kind == 3:
        _swapped(first, last, holds, rng)
    elif kind == 4:
        _doubled(first, last, holds, rng)
    else:
        _exchanged(first, last, layers, rng)


@njit
def _value(
    first: Ints,
    last: Ints,
    rates: Floats,
    layers: int,
    enter: Floats,
    leave: Floats,
    links: Floats,
    wide: bool,
    target: float,
    needed: float,
) -> tuple[float, float]:
    """Return the flow and the value; a value below `needed` may be any value below it."""
    capacity = np.empty(len(first))
    for i in range(len(first)):
        capacity[i] = rates[i, last[i] - first[i]]
    extra = COVER_WEIGHT * _cover(first, last, capacity, layers, target)
    flow = _flow_of_machines(first, last, capacity, layers)
    if wide or flow + extra < needed:
        return flow, flow + extra
    flow = _flow_of_links(first, last, capacity, layers, enter, leave, links)
    return flow, flow + extra


@njit
def _anneal(
    first: Ints,
    last: Ints,
    rates: Floats,
    holds: Ints,
    layers: int,
    enter: Floats,
    leave: Floats,
    links: Floats,
    wide: bool,
    target: float,
    steps: int,
    hot: float,
    cold: float,
    rng: Generator,
) -> tuple[float, Ints, Ints]:
    """Return the best flow and the intervals that carry it."""
    flow, value = _value(first, last, rates, layers, enter, leave, links, wide, target, 0.0)
    best, best_first, best_last = flow, first.copy(), last.copy()
    cooling = (cold / hot) ** (1.0 / steps)
    temperature = hot
    for _ in range(steps):
        temperature *= cooling
        new_first, new_last = first.copy(), last.copy()
        _moved(new_first, new_last, holds, layers, rng)
        needed = value + temperature * np.log(1.0 - rng.random())
        flow, new = _value(
            new_first, new_last, rates, layers, enter, leave, links, wide, target, needed
        )
        if new >= needed:
            first, last, value = new_first, new_last, new
            if flow > best + TINY:
                best, best_first, best_last = flow, first.copy(), last.copy()
    return best, best_first, best_last


class Annealing:
    """Annealing of the placements of one question.

    Args:
        data: machines and links.
        target: a rate above which covering a layer is worth nothing: a bound.
    """

    def __init__(self, data: FlowData, target: float) -> None:
        count, longest = len(data.machines), max(map(len, data.rates))
        self._layers, self._target = data.layers, target
        self._holds = np.array([data.holds(i) for i in range(count)])
        self._rates = np.zeros((count, longest + 1))
        for i, t in enumerate(data.machines):
            self._rates[i, 1 : len(data.rates[t]) + 1] = data.rates[t]
        self._enter, self._leave = np.array(data.enter), np.array(data.leave)
        self._links = np.array(data.links)
        # Of a machine to itself nothing flows, so the diagonal is no limit.
        links = self._links[~np.eye(count, dtype=bool)]
        each = np.concatenate([self._enter, self._leave, links])
        self._wide = bool(each.min() >= target)

    def run(self, start: Placement, steps: int, heat: float, seed: int) -> tuple[float, Placement]:
        """Return the best placement on the way from `start`, and its flow.

        Args:
            start: where it begins.
            steps: moves that are tried.
            heat: first temperature, as a part of the target.
            seed: of the moves.
        """
        places = np.array(start, np.int64)
        flow, first, last = _anneal(
            places[:, 0].copy(),
            places[:, 1].copy(),
            self._rates,
            self._holds,
            self._layers,
            self._enter,
            self._leave,
            self._links,
            self._wide,
            self._target,
            steps,
            heat * self._target,
            COLD * self._target,
            np.random.default_rng(seed),
        )
        return flow, tuple(zip(first.tolist(), last.tolist(), strict=True))
