"""Which kinds of replica are tried first, and how many of them where power is limited."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from itertools import chain, zip_longest

from apex_opt.cost.rates import most_w
from apex_opt.plan.optimistic import value
from apex_opt.plan.problem import MILLI, Problem
from apex_opt.plan.tried import Counts, Tried
from apex_opt.solvers.fleet_alone import fewest, most, possible

KINDS = 6
"""Kinds of replica that are taken from each order."""


def alone(asked: Problem, r: int, n: int) -> Counts:
    """Return the plan of `n` replicas of kind `r`."""
    return (0,) * r + (n,) + (0,) * (len(asked.data.kinds) - r - 1)


def likely(asked: Problem) -> list[int]:
    """Return the kinds that are guessed: the fastest and the strongest, in turn."""
    totals, kinds = asked.traffic.features.totals, asked.data.kinds

    def busy(r: int) -> float:
        rows = asked.bounds[r].busy_ns
        return kinds[r].devices * max(value(row, totals) for row in rows)

    numbers = _possible(asked)
    fast = sorted(numbers, key=lambda r: value(asked.bounds[r].e2e_ns, totals))
    strong = sorted(numbers, key=busy)
    return _in_turn(fast, strong)[: 2 * KINDS]


def frugal(asked: Problem) -> list[int]:
    """Return kinds of which a plan may draw little: likely ones, and those of fewest stages."""
    kinds = asked.data.kinds
    flat = sorted(_possible(asked), key=lambda r: (kinds[r].groups, kinds[r].devices))
    return _in_turn(flat[:KINDS], likely(asked))


def short_of_power(asked: Problem) -> bool:
    """Whether limits on power that count peaks allow less than all devices are rated for."""
    data = asked.data
    if not data.power_limits:
        return False
    pools = {c.pool: c.shape.pool for c in asked.candidates}
    rated = [
        most_w(pools[p]) * d.nodes * d.node_devices if p in pools else math.inf
        for p, d in enumerate(data.pools)
    ]
    rows = [(sum(rated), data.power_mw), *zip(rated, (d.power_mw for d in data.pools), strict=True)]
    return any(most_mw is not None and watts * MILLI > most_mw for watts, most_mw in rows)


def _possible(asked: Problem) -> list[int]:
    return [r for r in asked.data.of_role("mixed") if possible(asked.data, r)]


def _in_turn(*orders: Sequence[int]) -> list[int]:
    """Return each number once, the first of each order first."""
    turns = chain.from_iterable(zip_longest(*orders))
    return [r for r in dict.fromkeys(turns) if r is not None]


def between(asked: Problem, r: int, look: Callable[[Counts], Tried]) -> Iterator[Tried]:
    """Yield plans of kind `r` alone, simulated: not too few for the levels, nor too many for power.

    Halving in on the fewest that meet the spec. Neither levels nor power are monotone in the number
    for sure, so it is a search and no proof.

    Args:
        asked: the question.
        r: the kind.
        look: simulates a plan.
    """
    low, high = fewest(asked.data, r), most(asked.data, r)
    while low <= high:
        middle = (low + high) // 2
        one = look(alone(asked, r, middle))
        yield one
        enough = one.missed is None or draws_too_much(asked, one)
        low, high = (low, middle - 1) if enough else (middle + 1, high)


def draws_too_much(asked: Problem, plan: Tried) -> bool:
    """Whether a simulated plan draws more than the limits on power allow."""
    if plan.outcome is None:
        return False
    power, data = plan.outcome.power, asked.data
    drawn = [(power.total_w, data.power_mw)]
    drawn += [(power.in_pool_w(p), pool.power_mw) for p, pool in enumerate(data.pools)]
    return any(most_mw is not None and watts * MILLI > most_mw for watts, most_mw in drawn)
