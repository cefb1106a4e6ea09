"""Cheapest networks of machines in series and in parallel, for all lengths and rates at once.

Machines of type t cost p[t]. A network of length m and rate d is one machine that holds m layers
and carries d; or two networks of the same rate one after the other; or two of the same length side
by side. With V[m][d] the least cost,

    V[m][d] = min( p[t]                      t carries d over m layers
                   V[j][d] + V[m - j][d]     0 < j < m
                   V[m][e] + V[m][d - e]     0 < e < d )

Rates are whole steps; links between machines are taken to carry anything.

Behind a gate, each machine that begins at the first layer carries at most g. With V'[m][d] the
least cost of a network behind it,

    V'[m][d] = min( p[t]                      t carries d over m layers, d <= g
                    V'[j][d] + V[m - j][d]    0 < j < m
                    V'[m][e] + V'[m][d - e]   0 < e < d )

The same network from its last layer to its first stands before a gate.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from apex_opt.solvers.flow_jit import njit

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Part = tuple[int, int, int]
"""A machine of a network: its type, its first layer, the layer after its last."""

SINGLE, SERIES, PARALLEL = 0, 1, 2


@njit
def _single(m: int, price: Floats, steps: Ints, cost: Floats, what: Ints) -> None:
    """Set row m to the cheapest single machines that hold m layers."""
    top = cost.shape[1] - 1
    for t in range(len(price)):
        if m <= steps.shape[1]:
            for d in range(1, min(steps[t, m - 1], top) + 1):
                if price[t] < cost[m, d]:
                    cost[m, d] = price[t]
                    what[m, d] = t


@njit
def _series(m: int, cost: Floats, how: Ints, what: Ints) -> None:
    """Improve row m by pairs of shorter networks, the shorter or equal one first."""
    for j in range(1, m // 2 + 1):
        for d in range(1, cost.shape[1]):
            both = cost[j, d] + cost[m - j, d]
            if both < cost[m, d]:
                cost[m, d], how[m, d], what[m, d] = both, SERIES, j


@njit
def _after(m: int, plain: Floats, cost: Floats, how: Ints, what: Ints) -> None:
    """Improve row m by pairs of a shorter network behind the gate and one that follows it."""
    for j in range(1, m):
        for d in range(1, cost.shape[1]):
            both = cost[j, d] + plain[m - j, d]
            if both < cost[m, d]:
                cost[m, d], how[m, d], what[m, d] = both, SERIES, j


@njit
def _parallel(m: int, cost: Floats, how: Ints, what: Ints) -> None:
    """Improve row m by pairs of networks of its length; the first of them is not such a pair.

    Of the first only the greatest rate at each cost matters.
    """
    top = cost.shape[1] - 1
    first = cost[m].copy()
    ends = [e for e in range(1, top) if first[e] < first[e + 1]]
    for d in range(2, top + 1):
        for e in ends:
            if e >= d:
                break
            both = first[e] + cost[m, d - e]
            if both < cost[m, d]:
                cost[m, d], how[m, d], what[m, d] = both, PARALLEL, e


@njit
def _fill(
    layers: int, top: int, price: Floats, steps: Ints, plain: Floats
) -> tuple[Floats, Ints, Ints]:
    """Fill the table; `plain` is empty, or the costs without the gate."""
    cost = np.full((layers + 1, top + 1), np.inf)
    how = np.zeros((layers + 1, top + 1), np.int64)
    what = np.zeros((layers + 1, top + 1), np.int64)
    cost[:, 0] = 0.0
    for m in range(1, layers + 1):
        _single(m, price, steps, cost, what)
        if len(plain):
            _after(m, plain, cost, how, what)
        else:
            _series(m, cost, how, what)
        _parallel(m, cost, how, what)
    return cost, how, what


@dataclass(frozen=True)
class Blocks:
    """The table of the cheapest networks.

    Attributes:
        cost: (layers + 1, top + 1) V[m][d]; infinite where there is no such network.
        how: what the cheapest is: SINGLE, SERIES or PARALLEL.
        what: the type of a single machine; the length of the first of two in series; the rate of
            the first of two in parallel.
        then: behind a gate, the table of what follows in series.
        gate: what a machine at the first layer carries at most, tokens a second.
    """

    cost: Floats
    how: Ints
    what: Ints
    then: Blocks | None = None
    gate: float = math.inf

    def parts(self, m: int, d: int, first: int = 0) -> Iterator[Part]:
        """Yield the machines of the cheapest network of `m` layers from `first` that carries d."""
        how, what = int(self.how[m, d]), int(self.what[m, d])
        if how == SINGLE:
            yield what, first, first + m
        elif how == SERIES:
            yield from self.parts(what, d, first)
            yield from (self.then or self).parts(m - what, d, first + what)
        else:
            yield from self.parts(m, what, first)
            yield from self.parts(m, d - what, first)

    def rate(self, m: int, d: int, rates: Sequence[Sequence[float]]) -> float:
        """Return what the cheapest network of `m` layers and `d` steps really carries."""
        how, what = int(self.how[m, d]), int(self.what[m, d])
        if how == SINGLE:
            return min(rates[what][m - 1], self.gate)
        if how == SERIES:
            after = (self.then or self).rate(m - what, d, rates)
            return min(self.rate(what, d, rates), after)
        return self.rate(m, what, rates) + self.rate(m, d - what, rates)


def cheapest(layers: int, top: int, price: Floats, steps: Ints) -> Blocks:
    """Return the cheapest networks of up to `layers` layers and `top` steps of rate.

    Args:
        layers: longest network.
        top: greatest rate, steps.
        price: (types,) cost of a machine, none negative.
        steps: (types, most layers a machine holds) rate of a machine with k layers, steps.
    """
    return Blocks(*_fill(layers, top, price, steps, np.empty((0, 0))))


def behind(plain: Blocks, price: Floats, steps: Ints, gate: float) -> Blocks:
    """Return the cheapest networks behind a gate, no longer than a machine can be.

    Args:
        plain: those without it.
        price: as of `cheapest`.
        steps: as of `cheapest`, none above the gate.
        gate: tokens a second.
    """
    layers, top = min(len(plain.cost) - 1, steps.shape[1]), plain.cost.shape[1] - 1
    return Blocks(*_fill(layers, top, price, steps, plain.cost), then=plain, gate=gate)
