"""Routing weights: each replica, or rank, gets requests by what it can carry at most."""

from __future__ import annotations

from collections.abc import Sequence

from apex_opt.plan.optimistic import Optimistic, value

SCALE = 1000


def routing_weights(bounds: Sequence[Optimistic], totals: tuple[int, ...]) -> tuple[int, ...]:
    """Return integers in proportion to the optimistic capacity of each replica.

    Capacity is requests over the busy time that its slowest stage needs at least; that of ranks is
    told of each of them. The largest weight is `SCALE`, the least 1.
    """
    if len(bounds) == 1:
        return (SCALE,)
    capacity = [1.0 / max(1.0, *(value(row, totals) for row in b.busy_ns)) for b in bounds]
    most = max(capacity, default=1.0)
    return tuple(max(1, round(SCALE * c / most)) for c in capacity)
