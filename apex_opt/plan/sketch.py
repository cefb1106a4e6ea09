"""First plans of large fleets: those of a few good kinds of each pool, before the whole is asked.

The fleet model of hundreds of kinds in many pools may think for minutes about its first answer. Of
a few kinds a pool it has one in a second: of those that serve everything at the least objective,
and of the fastest among those that are not much worse, which meet levels that bounds know little
of. Such plans are plans like any other; the proof does not lean on them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace

from apex_opt.plan.optimistic import value
from apex_opt.plan.problem import Problem
from apex_opt.solvers.fleet import FleetModel
from apex_opt.solvers.fleet_alone import alone
from apex_opt.solvers.fleet_data import HORIZON, Kind

MANY = 100
"""Kinds from which on a first plan is sketched."""

OF_POOL = 2
"""Kinds of each pool that are taken at a time."""

AS_GOOD = 1.5
"""Times the least objective of a pool's kinds that a fast one may have."""

PLANS = 2
SECONDS = 5.0
"""For each plan, at most."""


def sketch(asked: Problem) -> Iterator[tuple[int, ...]]:
    """Yield a few plans of fast kinds, then of the best; none where the fleet model is small.

    Nor where replicas cost nothing: other plans are tried first then (`apex_opt.plan.seeds`).
    """
    data = asked.data
    if alone(data) or len(data.kinds) < MANY or not any(kind.fixed for kind in data.kinds):
        return
    for chosen in filter(None, dict.fromkeys((fast(asked), good(asked)))):
        model = FleetModel(replace(data, kinds=tuple(data.kinds[r] for r in chosen)))
        for _ in range(PLANS):
            counts = model.solve(time_limit_s=SECONDS).counts
            if counts is None:
                break
            model.cut(counts)
            numbers = dict(zip(chosen, counts, strict=True))
            yield tuple(numbers.get(r, 0) for r in range(len(data.kinds)))


def good(asked: Problem) -> tuple[int, ...]:
    """Return the kinds of each pool that would serve everything at the least objective."""
    kinds = asked.data.kinds
    best = [sorted(mine, key=lambda r: worth(kinds[r])) for mine in _pools(asked)]
    return tuple(sorted(r for mine in best for r in mine[:OF_POOL]))


def fast(asked: Problem) -> tuple[int, ...]:
    """Return the kinds of each pool that serve a lone request fastest and are nearly as good."""
    kinds, totals = asked.data.kinds, asked.traffic.features.totals
    found: list[int] = []
    for mine in _pools(asked):
        most = AS_GOOD * min(worth(kinds[r]) for r in mine)
        near = [r for r in mine if worth(kinds[r]) <= most]
        found += sorted(near, key=lambda r: value(asked.bounds[r].e2e_ns, totals))[:OF_POOL]
    return tuple(sorted(found))


def _pools(asked: Problem) -> list[list[int]]:
    """Return the kinds of each pool that serve everything and may stand alone."""
    pools: dict[int, list[int]] = defaultdict(list)
    for r in asked.data.of_role("mixed"):
        if asked.data.kinds[r].companions is None:
            pools[asked.data.kinds[r].pool].append(r)
    return [*pools.values()]


def worth(kind: Kind) -> float:
    """Return the objective of as many replicas, in parts, as all of the traffic takes."""
    rows = [sum(row) for row in kind.work]
    rows += [sum(due.work) - due.late for due in kind.due]
    return kind.fixed * max(rows, default=HORIZON) / HORIZON + sum(kind.flow)
