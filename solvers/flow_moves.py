"""Random changes of a placement, always to another placement.

Intervals are two arrays, first layers and the layers after the last; a change that a machine cannot
hold is not made.
"""

from __future__ import annotations

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from apex_opt.solvers.flow_jit import njit

Ints = NDArray[np.int64]


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
def _twins(first: Ints, last: Ints, kinds: Ints, rng: Generator) -> None:
    """Let two machines of one type take each other's interval: only their links differ."""
    i = rng.integers(0, len(first))
    start = rng.integers(0, len(first))
    for k in range(len(first)):
        j = (start + k) % len(first)
        if kinds[j] == kinds[i] and (first[j] != first[i] or last[j] != last[i]):
            first[i], first[j] = first[j], first[i]
            last[i], last[j] = last[j], last[i]
            return


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
def move(
    first: Ints, last: Ints, holds: Ints, kinds: Ints, layers: int, gentle: bool, rng: Generator
) -> None:
    """Change the intervals of one or more machines at random, in place.

    Args:
        first: (machines,) first layer of each.
        last: (machines,) layer after the last of each.
        holds: (machines,) most layers of each.
        kinds: (machines,) type of each.
        layers: of the model.
        gentle: whether only changes are made that leave the flow alone where links carry anything.
        rng: random numbers.
    """
    kind = rng.integers(5 if gentle else 0, 8)
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
    elif kind == 5:
        _exchanged(first, last, layers, rng)
    else:
        _twins(first, last, kinds, rng)
