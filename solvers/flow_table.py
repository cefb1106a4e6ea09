"""The best network of machines in series and in parallel, for every length and every use, exactly.

With R[m][u] the greatest rate of a network that holds m layers and takes at most u[t] machines of
type t,

    R[m][u] = max( rate[t][m]                                u = one machine of type t
                   min(R[j][v], R[m - j][u - v])             0 < j < m, 0 < v < u
                   R[m][v] + R[m][u - v]                     0 < v < u )

There are prod_t (n[t] + 1) uses: this is for few types with few machines of each.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from math import prod

import numpy as np
from numpy.typing import NDArray

from apex_opt.solvers.flow_blocks import PARALLEL, SERIES, SINGLE, Part
from apex_opt.solvers.flow_jit import njit

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Pairs = NDArray[np.int32]


def splits(counts: Sequence[int]) -> int:
    """Return in how many ways all uses are split in two, empty parts included."""
    return prod((n + 1) * (n + 2) // 2 for n in counts)


def work(layers: int, counts: Sequence[int]) -> int:
    """Return how many sums and minima the table takes; a core does some 10^9 in a second."""
    return splits(counts) * (layers + layers * layers // 4)


@njit
def _splits(uses: Ints, count: int) -> Pairs:
    """Return pairs of uses (u, v) with 0 < v < u, in order of u."""
    found = np.empty((count, 2), np.int32)
    filled = 0
    for u in range(len(uses)):
        for v in range(1, u):
            inside = True
            for t in range(uses.shape[1]):
                inside = inside and uses[v, t] <= uses[u, t]
            if inside:
                found[filled, 0], found[filled, 1] = u, v
                filled += 1
    return found[:filled]


@njit
def _fill(rate: Floats, how: Ints, what: Ints, part: Ints, splits: Pairs) -> None:
    """Fill the table, in which single machines stand already."""
    for m in range(1, len(rate)):
        row = rate[m]
        for j in range(1, m // 2 + 1):
            one, other = rate[j], rate[m - j]
            for s in range(len(splits)):
                u, v = splits[s, 0], splits[s, 1]
                both = min(one[v], other[u - v])
                if both > row[u]:
                    row[u], how[m, u], what[m, u], part[m, u] = both, SERIES, j, v
        for s in range(len(splits)):
            u, v = splits[s, 0], splits[s, 1]
            both = row[v] + row[u - v]
            if both > row[u]:
                row[u], how[m, u], part[m, u] = both, PARALLEL, v


@dataclass(frozen=True)
class Table:
    """The best networks. Uses are numbered by `uses`.

    Attributes:
        uses: (uses, types) machines of each type.
        rate: (layers + 1, uses) R[m][u]; 0 where there is no such network.
        how: SINGLE, SERIES or PARALLEL.
        what: type of a single machine; length of the first of two in series.
        part: use of the first of two.
    """

    uses: Ints
    rate: Floats
    how: Ints
    what: Ints
    part: Ints

    def parts(self, m: int, u: int, first: int = 0) -> Iterator[Part]:
        """Yield the machines of the best network of `m` layers from `first` with use number u."""
        how, part = int(self.how[m, u]), int(self.part[m, u])
        # Differences of numbers are numbers of differences: uses are digits of a mixed radix.
        if how == SERIES:
            j = int(self.what[m, u])
            yield from self.parts(j, part, first)
            yield from self.parts(m - j, u - part, first + j)
        elif how == PARALLEL:
            yield from self.parts(m, part, first)
            yield from self.parts(m, u - part, first)
        elif self.rate[m, u] > 0:
            yield int(self.what[m, u]), first, first + m


def table(layers: int, rates: Sequence[Sequence[float]], counts: Sequence[int]) -> Table:
    """Return the best networks of up to `layers` layers and `counts` machines of each type.

    Args:
        layers: longest network.
        rates: [type][k - 1], what a machine carries that holds k layers.
        counts: [type], machines there are.
    """
    uses = np.array([*product(*(range(n + 1) for n in counts))], np.int64)
    shape = layers + 1, len(uses)
    rate, what = np.zeros(shape), np.zeros(shape, np.int64)
    how, part = np.full(shape, SINGLE), np.zeros(shape, np.int64)
    for t, row in enumerate(rates):
        one = int(np.flatnonzero((uses == np.eye(len(counts), dtype=int)[t]).all(axis=1))[0])
        for m, r in enumerate(row[:layers], start=1):
            rate[m, one], what[m, one] = r, t
    _fill(rate, how, what, part, _splits(uses, splits(counts)))
    return Table(uses, rate, how, what, part)
