"""Placements that are rows of networks in series and in parallel, from site to site.

Links inside a site are ignored, as they carry anything. Where links between sites are slow, rows
side by side, each at sites of its own, may carry more than one row of all.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import cycle

from apex_opt.solvers.flow_blocks import Part
from apex_opt.solvers.flow_bound import bound
from apex_opt.solvers.flow_data import FlowData, Interval, Placement
from apex_opt.solvers.flow_pool import Pool
from apex_opt.solvers.flow_sites import Sites, by_site, only, partitions
from apex_opt.solvers.flow_table import table, work
from apex_opt.solvers.flow_trail import Block
from apex_opt.solvers.flow_verify import throughput

TABLE_WORK = 4 * 10**9
"""Most sums and minima for which the table of all uses is made: some seconds."""
GROWTH_ROUNDS = 20
FIRST_SHARE, SHARES = 0.8, (0.5, 0.75, 0.9, 0.97, 0.25, 0.6, 0.85)
"""Of the way from what was found to what is not excluded: which rate is asked for first, and which
in turns. It ends where each brought nothing, though machines in parts would do, or nothing yet."""
NEAR = 1e-3
TOLD = 1e-4
"""Rates of rows are sought until they can differ by no more than this, relatively."""


def best_row(data: FlowData, limit: float, seed: int, until: float) -> Placement:
    """Return the best row of networks found, or rows side by side, each at its own sites.

    Rows side by side are not looked for where one row of all comes near the limit.

    Args:
        data: the machines and their links.
        limit: no placement carries more.
        seed: of what is drawn at random.
        until: when to stop, on the monotonic clock.
    """
    sites = by_site(data, limit)
    rows: dict[tuple[int, ...], tuple[float, dict[int, Interval]]] = {}
    best: tuple[float, dict[int, Interval]] = (-1.0, {})
    # One row of all first, then one for each site: these are found soonest.
    ways = sorted(partitions(len(sites.machines)), key=len)
    for groups in dict.fromkeys((ways[0], ways[-1], *ways)):
        for group in groups:
            if group not in rows:
                ids = [i for i, kind in enumerate(sites.kinds) if sites.of[kind] in group]
                part = only(data, ids)
                placement = _row(part, limit, seed, until)
                carried = float(throughput(part, placement))
                rows[group] = carried, dict(zip(ids, placement, strict=True))
        rate = sum(rows[group][0] for group in groups)
        if rate > best[0]:
            best = rate, {i: span for group in groups for i, span in rows[group][1].items()}
        if rate >= limit * (1 - NEAR) or time.monotonic() >= until:
            break
    return tuple(best[1][i] for i in range(len(data.machines)))


def _row(data: FlowData, limit: float, seed: int, until: float) -> Placement:
    """Return the best row found."""
    sites = by_site(data, limit)
    if len(sites.machines) == 1 and work(data.layers, sites.counts) <= TABLE_WORK:
        best = table(data.layers, sites.rates, sites.counts)
        return _placed(data, sites, [*best.parts(data.layers, best.rate.shape[1] - 1)])
    return _placed(data, sites, _generated(data, sites, seed, until))


def _generated(data: FlowData, sites: Sites, seed: int, until: float) -> list[Part]:
    """Close in on the greatest rate for which blocks in a row are found; none may be."""
    pool = Pool(data.layers, sites, seed)
    low, high = 0.0, bound(data.layers, data.rates, data.counts, 0.0)
    parts: list[Part] = []
    share, shares, lost = FIRST_SHARE, cycle(SHARES), 0
    while lost < len(SHARES) and high - low > TOLD * high and time.monotonic() < until:
        asked = low + share * (high - low)
        theta = pool.grow(asked, GROWTH_ROUNDS, until)
        if found := pool.best(low):
            low, row = found
            parts, lost = [*_in_a_row(row)], 0
        else:
            lost += not low or theta <= 1
            high = high if low and theta <= 1 else asked
        share = next(shares)
    return parts


def _in_a_row(row: list[Block]) -> Iterator[Part]:
    """Yield the machines of blocks that stand one after the other."""
    at = 0
    for block in row:
        for kind, first, last in block.parts:
            yield kind, at + first, at + last
        at += block.length


def _placed(data: FlowData, sites: Sites, parts: list[Part]) -> Placement:
    """Give each part a machine of its kind; machines that are left stand at the first layers."""
    placement = [(0, data.holds(i)) for i in range(len(data.machines))]
    left = {*range(len(data.machines))}
    # Kinds at any site come last, and take what those of one site leave.
    for kind, first, last in sorted(parts):
        i = min(i for i in left if kind in {sites.kinds[i], sites.also[sites.kinds[i]]})
        placement[i] = first, last
        left.remove(i)
    return tuple(placement)


def another_row(data: FlowData, limit: float, rate: float, seed: int) -> Placement | None:
    """Return some row that carries `rate`, or None where none is found.

    Args:
        data: the machines and their links.
        limit: links that carry it carry anything.
        rate: positive, tokens a second.
        seed: another one may bring another row.
    """
    sites = by_site(data, limit)
    pool = Pool(data.layers, sites, seed)
    pool.grow(rate, GROWTH_ROUNDS)
    row = pool.row(rate)
    return None if row is None else _placed(data, sites, [*_in_a_row(row)])
