"""Placements that are rows of networks in series and in parallel; links are ignored."""

from __future__ import annotations

import time
from collections.abc import Iterator

from apex_opt.solvers.flow_blocks import Part
from apex_opt.solvers.flow_bound import CLOSE, bound
from apex_opt.solvers.flow_data import FlowData, Placement
from apex_opt.solvers.flow_pool import Block, Pool
from apex_opt.solvers.flow_table import table, work

TABLE_WORK = 4 * 10**9
"""Most sums and minima for which the table of all uses is made: some seconds."""
GROWTH_ROUNDS = 20


def best_row(data: FlowData, seed: int, until: float) -> tuple[Placement, float]:
    """Return the best row of networks found, and what it carries where links carry anything.

    Args:
        data: machines; every type has one at least.
        seed: of what is drawn at random.
        until: when to stop, on the monotonic clock.
    """
    if work(data.layers, data.counts) <= TABLE_WORK:
        best = table(data.layers, data.rates, data.counts)
        everything = best.rate.shape[1] - 1
        rate = float(best.rate[data.layers, everything])
        parts = [*best.parts(data.layers, everything)]
    else:
        rate, parts = _generated(data, seed, until)
    return _placed(data, parts), rate


def _generated(data: FlowData, seed: int, until: float) -> tuple[float, list[Part]]:
    """Close in on the greatest rate for which blocks in a row are found; none may be."""
    pool = Pool(data.layers, data.rates, data.counts, seed)
    low, high = 0.0, bound(data.layers, data.rates, data.counts, 0.0)
    parts: list[Part] = []
    asked = 0.8 * high
    while high - low > CLOSE * high and time.monotonic() < until:
        pool.grow(asked, GROWTH_ROUNDS)
        if found := pool.best(low):
            low, row = found
            parts = [*_in_a_row(row)]
        if low < asked:
            high = asked
        asked = (low + high) / 2 if low else high / 2
    return low, parts


def _in_a_row(row: list[Block]) -> Iterator[Part]:
    """Yield the machines of blocks that stand one after the other."""
    at = 0
    for block in row:
        for kind, first, last in block.parts:
            yield kind, at + first, at + last
        at += block.length


def _placed(data: FlowData, parts: list[Part]) -> Placement:
    """Give each part a machine of its type; machines that are left stand at the first layers."""
    placement = [(0, data.holds(i)) for i in range(len(data.machines))]
    free = {
        t: iter([i for i, kind in enumerate(data.machines) if kind == t])
        for t in range(len(data.rates))
    }
    for kind, first, last in parts:
        placement[next(free[kind])] = first, last
    return tuple(placement)


def another_row(data: FlowData, rate: float, seed: int) -> Placement | None:
    """Return some row that carries `rate`, or None where none is found.

    Args:
        data: machines; every type has one at least.
        rate: positive, tokens a second.
        seed: another one may bring another row.
    """
    pool = Pool(data.layers, data.rates, data.counts, seed)
    pool.grow(rate, GROWTH_ROUNDS)
    row = pool.row(rate)
    return None if row is None else _placed(data, [*_in_a_row(row)])
