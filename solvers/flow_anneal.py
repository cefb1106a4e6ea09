"""Simulated annealing over placements, where each is scored by its maximum flow.

Blocks in a row are most of the way where every link is wide; annealing makes of them what slow or
missing links ask for, and networks that are not series and parallel. A state is an interval for
each machine. Its value is the flow, and a little of how well the layers are covered, which leads
over plateaus where one machine alone changes nothing.

Source: S. Kirkpatrick, C. D. Gelatt, M. P. Vecchi, "Optimization by simulated annealing", Science
220, 1983.
"""

from __future__ import annotations

import time

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from apex_opt.solvers.flow_data import FlowData, Placement
from apex_opt.solvers.flow_jit import njit
from apex_opt.solvers.flow_moves import move
from apex_opt.solvers.flow_score import TINY, score

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

COLD = 0.02
"""Last temperature, as a part of the first."""
SLICE = 10_000
"""Moves between two looks at the clock."""


@njit
def _anneal(
    first: Ints,
    last: Ints,
    rates: Floats,
    holds: Ints,
    kinds: Ints,
    layers: int,
    enter: Floats,
    leave: Floats,
    links: Floats,
    wide: bool,
    target: float,
    steps: int,
    hot: float,
    cooling: float,
    gentle: bool,
    rng: Generator,
) -> tuple[float, Ints, Ints, Ints, Ints]:
    """Return the best flow, the intervals that carry it, and those at the end."""
    capacity = np.empty(len(first))
    for i in range(len(first)):
        capacity[i] = rates[i, last[i] - first[i]]
    flow, value = score(first, last, capacity, layers, enter, leave, links, wide, target, -np.inf)
    best, best_first, best_last = flow, first.copy(), last.copy()
    temperature = hot
    for _ in range(steps):
        temperature *= cooling
        new_first, new_last = first.copy(), last.copy()
        move(new_first, new_last, holds, kinds, layers, gentle, rng)
        for i in range(len(first)):
            capacity[i] = rates[i, new_last[i] - new_first[i]]
        needed = value + temperature * np.log(1.0 - rng.random())
        flow, new = score(
            new_first, new_last, capacity, layers, enter, leave, links, wide, target, needed
        )
        if new >= needed:
            first, last, value = new_first, new_last, new
            if flow > best + TINY:
                best, best_first, best_last = flow, first.copy(), last.copy()
    return best, best_first, best_last, first, last


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
        self._kinds = np.array(data.machines)
        self._rates = np.zeros((count, longest + 1))
        for i, t in enumerate(data.machines):
            self._rates[i, 1 : len(data.rates[t]) + 1] = data.rates[t]
        self._enter, self._leave = np.array(data.enter), np.array(data.leave)
        self._links = np.array(data.links)
        # Of a machine to itself nothing flows, so the diagonal is no limit.
        links = self._links[~np.eye(count, dtype=bool)]
        each = np.concatenate([self._enter, self._leave, links])
        self._wide = bool(each.min() >= target)

    def run(
        self,
        start: Placement,
        steps: int,
        heat: float,
        seed: int,
        *,
        gentle: bool = False,
        until: float = float("inf"),
    ) -> tuple[float, Placement]:
        """Return the best placement on the way from `start`, and its flow.

        Args:
            start: where it begins.
            steps: moves that are tried.
            heat: first temperature, as a part of the target.
            seed: of the moves.
            gentle: whether only moves are tried that change which links are used.
            until: when to stop, on the monotonic clock.
        """
        rng = np.random.default_rng(seed)
        first, last = (np.array(ends, np.int64) for ends in zip(*start, strict=True))
        best, cooling = (-1.0, start), COLD ** (1 / steps)
        for done in range(0, steps, SLICE):
            count, hot = min(SLICE, steps - done), heat * cooling**done
            flow, *at_best, first, last = self._slice(
                first, last, count, hot, cooling, gentle=gentle, rng=rng
            )
            if flow > best[0]:
                begins, ends = (places.tolist() for places in at_best)
                best = flow, tuple(zip(begins, ends, strict=True))
            if time.monotonic() >= until:
                break
        return best

    def _slice(
        self,
        first: Ints,
        last: Ints,
        steps: int,
        heat: float,
        cooling: float,
        *,
        gentle: bool,
        rng: Generator,
    ) -> tuple[float, Ints, Ints, Ints, Ints]:
        return _anneal(
            first,
            last,
            self._rates,
            self._holds,
            self._kinds,
            self._layers,
            self._enter,
            self._leave,
            self._links,
            self._wide,
            self._target,
            steps,
            heat * self._target,
            cooling,
            gentle,
            rng,
        )
