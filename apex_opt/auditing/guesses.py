"""Plans that are likely to meet a spec if any does: all of a small space, else good guesses."""

from __future__ import annotations

from collections.abc import Iterator

from apex_opt.plan.likely import KINDS, alone, likely
from apex_opt.plan.pairs import fastest_pairs
from apex_opt.plan.problem import Problem
from apex_opt.solvers.fleet_alone import fewest, most, possible
from apex_opt.solvers.fleet_data import HORIZON, FleetData
from apex_opt.solvers.fleet_listed import plans

Counts = tuple[int, ...]
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
