"""Plans to start from: one kind that prefills and one that decodes, at matched rates."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice, product

from apex_opt.plan.optimistic import value
from apex_opt.plan.problem import Problem
from apex_opt.solvers.fleet_data import Role
from apex_opt.solvers.fleet_verify import faults

Counts = tuple[int, ...]
FEWER = 8
"""How many numbers of replicas that decode are tried before a pair counts as too large."""


def fastest_pairs(asked: Problem, most: int) -> Iterator[Counts]:
    """Yield up to `most` plans of two kinds, fastest first, as many replicas as limits allow."""
    yield from islice(_allowed(asked, most), most)


def _allowed(asked: Problem, most: int) -> Iterator[Counts]:
    data, totals = asked.data, asked.traffic.features.totals

    def time(kinds: Sequence[int]) -> float:
        return sum(value(asked.bounds[r].e2e_ns, totals) for r in kinds)

    def fastest(role: Role, cache: int) -> list[int]:
        return sorted(data.of_role(role, cache), key=lambda r: time([r]))[:most]

    pairs = [
        pair for f in data.caches for pair in product(fastest("prefill", f), fastest("decode", f))
    ]
    for p, d in sorted(pairs, key=time):
        first, second = _matched(asked, p, d)
        for fewer in range(min(FEWER, second)):
            numbers = {p: first, d: second - fewer}
            counts = tuple(numbers.get(r, 0) for r in range(len(data.kinds)))
            if not faults(data, counts):
                yield counts
                break


def _matched(asked: Problem, p: int, d: int) -> tuple[int, int]:
    """Return numbers of replicas that share a pool as their work asks, or have one each."""
    data = asked.data
    one, other = data.kinds[p], data.kinds[d]
    rooms = [data.pools[k.pool].nodes * data.pools[k.pool].node_devices for k in (one, other)]
    room, second = (min(r, r if data.devices is None else data.devices) for r in rooms)
    most = [
        data.role_devices.get(k.role, r) // k.devices
        for k, r in zip((one, other), rooms, strict=True)
    ]
    if one.pool != other.pool:
        first, others = min(room // one.devices, most[0]), min(second // other.devices, most[1])
        return max(first, 1), max(others, 1)
    work = [max((sum(row) for row in k.work), default=0) * k.devices for k in (one, other)]
    share = work[0] / sum(work) if sum(work) else 0.5
    first = max(round(share * room / one.devices), 1)
    first = max(min(first, (room - other.devices) // one.devices), 1)
    first = max(min(first, most[0]), 1)
    return first, max(min((room - first * one.devices) // other.devices, most[1]), 1)
