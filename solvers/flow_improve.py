"""Chains of annealing, from a row of networks on: what slow or missing links ask for.

A chain begins at a row and goes on from the best of its own. Chains from other rows end elsewhere,
and the best of all is what counts.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count

from apex_opt.solvers.flow_anneal import Annealing
from apex_opt.solvers.flow_bound import CLOSE
from apex_opt.solvers.flow_data import FlowData, Placement
from apex_opt.solvers.flow_rows import another_row

STEPS = 8_000
"""Moves that one run tries for each machine."""
RUNS = ((1e-4, True), (0.005, False), (0.02, False), (1e-4, True), (0.3, False), (0.005, False))
"""The runs of a chain: heat, and whether gentle. The first asks only which machine of a type stands
where, and in which order blocks do; the hot one leaves what the others are caught in."""
PATIENCE = 3
"""Rounds of chains, one for each worker, that may bring nothing better."""
SHARES = (0.97, 1 - CLOSE, 0.9)
"""Of the rate of the bound, in turns: what other rows must carry at least."""

Found = tuple[float, Placement]


def improved(
    data: FlowData, start: Placement, limit: float, until: float, *, seed: int = 0, workers: int = 2
) -> Placement:
    """Return the best placement found, which carries no less than `start`.

    Args:
        data: machines, every type with one at least, and links.
        start: where the first chain begins.
        limit: no placement carries more; where one is found that does as much, it is enough.
        until: when to stop, on the monotonic clock.
        seed: of what is drawn at random.
        workers: threads, each with a chain.
    """
    if limit <= 0:
        return start
    annealing = Annealing(data, limit)
    best: Found = annealing.run(start, 1, 1e-4, seed)
    starts, lost = _starts(data, start, limit, seed), 0
    with ThreadPoolExecutor(workers) as pool:
        while lost < PATIENCE and time.monotonic() < until and best[0] < limit * (1 - CLOSE):
            chains = [
                pool.submit(_chain, annealing, *next(starts), limit, until) for _ in range(workers)
            ]
            found = max(chain.result() for chain in chains)
            lost += 1
            if found[0] > best[0] * (1 + CLOSE):
                best, lost = found, 0
    return best[1]


def _starts(
    data: FlowData, first: Placement, limit: float, seed: int
) -> Iterator[tuple[Placement, int]]:
    """Yield where chains begin, and the seed of each: `first`, then other rows where they are."""
    number = seed * 10**6
    yield first, number
    for turn in count():
        number += len(RUNS)
        row = another_row(data, limit, limit * SHARES[turn % len(SHARES)], seed + turn)
        yield (first if row is None else row), number


def _chain(annealing: Annealing, start: Placement, seed: int, limit: float, until: float) -> Found:
    """Return the best that the runs from `start` find, each from the best before it."""
    best: Found = (-1.0, start)
    steps = STEPS * len(start)
    for number, (heat, gentle) in enumerate(RUNS):
        found = annealing.run(best[1], steps, heat, seed + number, gentle=gentle, until=until)
        best = max(best, found)
        if time.monotonic() >= until or best[0] >= limit * (1 - CLOSE):
            break
    return best
