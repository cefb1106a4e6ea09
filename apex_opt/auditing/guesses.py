"""Plans that are likely to meet a spec if any does: all of a small space, else good guesses."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import chain, zip_longest

from apex_opt.plan.optimistic import value
from apex_opt.plan.pairs import fastest_pairs
from apex_opt.plan.problem import Problem
from apex_opt.plan.tried import Tried
from apex_opt.solvers.fleet_alone import fewest, most, possible
from apex_opt.solvers.fleet_data import HORIZON, FleetData
from apex_opt.solvers.fleet_listed import plans

Counts = tuple[int, ...]
KINDS = 6
"""Kinds of replica that are guessed from each of two orders."""

AMPLE, SURE = 32, 8
"""Replicas that are guessed first: so many, or so many times the fewest that might do."""

FEWER = 3
"""By how much each round of guesses is smaller than the one before."""


def every(data: FleetData) -> list[Counts]:
    """Return the plans of the space that stock allows, largest first: for small spaces only."""
    devices = [kind.devices for kind in data.kinds]
    return sorted(
        plans(data), key=lambda counts: -sum(d * n for d, n in zip(devices, counts, strict=True))
    )


def alone(asked: Problem, r: int, n: int) -> Counts:
    """Return the plan of `n` replicas of kind `r`."""
    return (0,) * r + (n,) + (0,) * (len(asked.data.kinds) - r - 1)


def singles(asked: Problem, few: int) -> list[Counts] | None:
    """Return all plans of one kind within the bounds: what the limits allow and may carry all.

    None where they are not `few`.
    """
    data = asked.data
    numbers = [
        (r, range(fewest(data, r), most(data, r) + 1))
        for r in range(len(data.kinds))
        if possible(data, r)
    ]
    if sum(len(each) for _, each in numbers) > few:
        return None
    return [alone(asked, r, n) for r, each in numbers for n in each]


def carries(asked: Problem, r: int, n: int) -> bool:
    """Whether bounds allow `n` replicas of kind `r` to serve all traffic alone."""
    kind = asked.data.kinds[r]
    if n <= kind.spare or kind.companions is not None:
        return False
    return asked.data.sense == "max" or all(sum(row) <= HORIZON * n for row in kind.work)


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


def _possible(asked: Problem) -> list[int]:
    return [r for r in asked.data.of_role("mixed") if possible(asked.data, r)]


def _in_turn(*orders: Sequence[int]) -> list[int]:
    """Return each number once, the first of each order first."""
    turns = chain.from_iterable(zip_longest(*orders))
    return [r for r in dict.fromkeys(turns) if r is not None]


def between(
    asked: Problem, r: int, look: Callable[[Counts], Tried], too_many: Callable[[Tried], bool]
) -> Iterator[Tried]:
    """Yield plans of kind `r`, simulated: neither too few for the levels nor too many for power.

    Their number is halved in on; the last one that is yielded meets the spec, if any does.

    Args:
        asked: the question, of which every plan uses one kind.
        r: the kind.
        look: simulates a plan.
        too_many: whether a plan that misses the spec draws too much power.
    """
    low, high = fewest(asked.data, r), most(asked.data, r)
    while low <= high:
        middle = (low + high) // 2
        one = look(alone(asked, r, middle))
        yield one
        if one.missed is None:
            return
        low, high = (low, middle - 1) if too_many(one) else (middle + 1, high)


def guesses(asked: Problem) -> Iterator[Counts]:
    """Yield plans of one kind, the fastest and the strongest: amply, all in, then ever fewer.

    Where prefill and decode may be apart, pairs of them come first, all in.
    """
    yield from fastest_pairs(asked, KINDS)
    data = asked.data
    chosen = likely(asked)
    useful = {r: max(asked.traffic.requests, fewest(data, r)) for r in chosen}
    largest = {r: min(most(data, r), useful[r]) for r in chosen}
    ample = {r: min(n, max(AMPLE, SURE * fewest(data, r))) for r, n in largest.items()}
    yield from (alone(asked, r, n) for r, n in ample.items())
    yield from (alone(asked, r, n) for r, n in largest.items() if n > ample[r])
    sizes = {r: n // FEWER for r, n in ample.items()}
    while any(sizes.values()):
        yield from (alone(asked, r, n) for r, n in sizes.items() if carries(asked, r, n))
        sizes = {r: n // FEWER for r, n in sizes.items()}
