"""Bounds that know links: what a machine can get and send on, and what stays at sites or crosses.

A machine carries no more than its links bring, nor than they take away. For any parting of the
machines into groups, tokens that never leave a group flow through a placement of that group alone,
and all others cross a link between groups at least once:

    F <= sum_g bound(g) + sum_{u, v in different groups} min(link(u, v), most(u), most(v))

where each pair counts once. For v cannot begin where u ends, and u where v ends: a link is used one
way only, and in one place.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations

from apex_opt.solvers.flow_bound import SAFE, bound
from apex_opt.solvers.flow_data import FlowData
from apex_opt.solvers.flow_sites import by_site, only, partitions


def capped(data: FlowData) -> FlowData:
    """Return the question with machines that carry no more than their links do.

    Every placement carries as much as before. Types are split where that tells machines apart;
    types of which there is no machine are left out.
    """
    count = len(data.machines)
    kinds = []
    for i, t in enumerate(data.machines):
        others = [j for j in range(count) if j != i]
        come = max(data.enter[i], sum(data.links[j][i] for j in others))
        go = max(data.leave[i], sum(data.links[i][j] for j in others))
        kinds.append((t, min(max(data.rates[t]), min(come, go) * (1 + SAFE))))
    known = sorted(set(kinds))
    return replace(
        data,
        rates=tuple(tuple(min(r, most) for r in data.rates[t]) for t, most in known),
        machines=tuple(known.index(kind) for kind in kinds),
    )


def cut_bound(data: FlowData, limit: float) -> float:
    """Return a rate that no placement exceeds, at most `limit`.

    Args:
        data: the machines and their links.
        limit: no placement carries more; links that carry it carry anything.
    """
    ends = (sum(map(min, end, _most(data))) for end in (data.enter, data.leave))
    least = min(limit, *ends)
    sites = by_site(data, limit)
    at = [sites.of[kind] for kind in sites.kinds]
    bounds: dict[tuple[int, ...], float] = {}
    for groups in partitions(len(sites.machines)):
        where = {site: g for g, group in enumerate(groups) for site in group}
        total = _crossing(data, [where[site] for site in at])
        for group in groups if len(groups) > 1 else ():
            if total >= least:
                break
            if group not in bounds:
                part = only(data, [i for i, site in enumerate(at) if site in group])
                bounds[group] = bound(part.layers, part.rates, part.counts, 0.0)
            total += bounds[group]
        else:
            least = min(least, total) if len(groups) > 1 else least
    return least


def _most(data: FlowData) -> list[float]:
    """Return the most that each machine ever carries."""
    return [max(data.rates[t]) for t in data.machines]


def _crossing(data: FlowData, group: list[int]) -> float:
    """Return what all links between machines of different groups can carry together."""
    most = _most(data)
    return sum(
        min(max(data.links[i][j], data.links[j][i]), most[i], most[j])
        for i, j in combinations(range(len(group)), 2)
        if group[i] != group[j]
    )
