"""Sites: machines whose links to each other carry anything, with slower links between sites.

A row of networks stands in one site after the other. Where it goes from site a to site b, over
links of c tokens a second each, the flow F spreads: if e machines end there and s begin, each that
ends sends at most s c and each that begins gets at most e c, so e s c >= F.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import permutations

from apex_opt.solvers.flow_data import FlowData

SAFE = 1e-12
"""Relative room for the rounding of a quotient."""
ANYWHERE = -1
"""The site of what may stand at any."""
MOST_SITES = 5
"""There are 52 ways to part five sites into groups, and 203 to part six."""


@dataclass(frozen=True)
class Sites:
    """Machines by kind, which is type and site, and where they stand. Rates are in tokens a second.

    Where there are several sites, kinds of each type of machine at any site follow. These carry no
    more than a link between any two sites, so that they may stand next to any machine.

    Attributes:
        kinds: [machine], its kind, with its site.
        of: [kind], its site, or ANYWHERE.
        also: [kind], the kind of the same type at any site; itself where there is one site.
        rates: [kind][k - 1], what it carries if it holds k layers.
        counts: [kind], machines.
        links: [site][site], the least link from a machine of the one to a machine of the other.
        enter, leave: [site], the least link from the source, and to the sink.
        machines: [site], how many there are.
    """

    kinds: tuple[int, ...]
    of: tuple[int, ...]
    also: tuple[int, ...]
    rates: tuple[tuple[float, ...], ...]
    counts: tuple[int, ...]
    links: tuple[tuple[float, ...], ...]
    enter: tuple[float, ...]
    leave: tuple[float, ...]
    machines: tuple[int, ...]

    def fans(self, a: int, b: int, rate: float) -> Iterator[tuple[float, float]]:
        """Yield what each machine may carry that ends before a crossing, and that begins after.

        Of the ways in which `rate` can cross from site a to site b, those where neither fewer
        machines could end nor fewer begin.
        """
        link, fewest = self.links[a][b], math.inf
        if link <= 0:
            return
        for begin in range(1, self.machines[b] + 1):
            end = max(math.ceil(rate / (begin * link) * (1 - SAFE)), 1)
            if end < fewest and end <= self.machines[a]:
                fewest = end
                yield begin * link, end * link

    def gates(self, a: int, rate: float) -> list[float]:
        """Return all that a machine of site a may be limited to where `rate` comes or goes."""
        found = {self.enter[a], self.leave[a]}
        for b in range(len(self.machines)):
            if a != b:
                found |= {end for end, _ in self.fans(a, b, rate)}
                found |= {begin for _, begin in self.fans(b, a, rate)}
        return sorted(gate for gate in found if 0 < gate < rate)


def by_site(data: FlowData, rate: float) -> Sites:
    """Return the machines of a question by site; types of which there are none are left out.

    Where there are very many sites, all machines are taken to stand at one, and links to carry
    anything.

    Args:
        data: machines and links.
        rate: links that carry it carry anything.
    """
    where = _where(data, rate)
    if max(where) >= MOST_SITES:
        where = [0] * len(where)
    count = max(where) + 1
    pairs = [*zip(where, data.machines, strict=True)]
    members = [[i for i, site in enumerate(where) if site == a] for a in range(count)]
    links = tuple(tuple(_least(data, one, other) for other in members) for one in members)
    kinds = sorted(set(pairs))
    own = len(kinds)
    types = sorted(set(data.machines)) if count > 1 else []
    slowest = min((links[a][b] for a, b in permutations(range(count), 2)), default=math.inf)
    capped = [tuple(min(r, slowest) for r in data.rates[t]) for t in types]
    also = [own + types.index(t) for _, t in kinds] if types else [*range(own)]
    return Sites(
        kinds=tuple(kinds.index(pair) for pair in pairs),
        of=(*(site for site, _ in kinds), *(ANYWHERE for _ in types)),
        also=(*also, *range(own, own + len(types))),
        rates=(*(data.rates[t] for _, t in kinds), *capped),
        counts=(*(pairs.count(kind) for kind in kinds), *map(data.machines.count, types)),
        links=links,
        enter=tuple(min(data.enter[i] for i in one) for one in members),
        leave=tuple(min(data.leave[i] for i in one) for one in members),
        machines=tuple(map(len, members)),
    )


def _where(data: FlowData, rate: float) -> list[int]:
    """Return the site of each machine, numbered in order of their first machines."""
    count, where = len(data.machines), [-1] * len(data.machines)
    sites = 0
    for i in range(count):
        if where[i] < 0:
            where[i], queue = sites, [i]
            for u in queue:
                for v in range(count):
                    if where[v] < 0 and min(data.links[u][v], data.links[v][u]) >= rate:
                        where[v] = sites
                        queue.append(v)
            sites += 1
    return where


def _least(data: FlowData, one: Iterable[int], other: Iterable[int]) -> float:
    return min((data.links[i][j] for i in one for j in other if i != j), default=math.inf)


def partitions(count: int) -> Iterator[tuple[tuple[int, ...], ...]]:
    """Yield every way to part 0, ..., count - 1 into groups."""
    if not count:
        yield ()
        return
    for groups in partitions(count - 1):
        for i, group in enumerate(groups):
            yield (*groups[:i], (*group, count - 1), *groups[i + 1 :])
        yield (*groups, (count - 1,))


def only(data: FlowData, machines: list[int]) -> FlowData:
    """Return the question of some of the machines; types keep their numbers."""
    return replace(
        data,
        machines=tuple(data.machines[i] for i in machines),
        enter=tuple(data.enter[i] for i in machines),
        leave=tuple(data.leave[i] for i in machines),
        links=tuple(tuple(data.links[i][j] for j in machines) for i in machines),
    )
