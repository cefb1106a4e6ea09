"""Plans to simulate first where bounds hardly tell plans apart: the fastest replicas, all in."""

from __future__ import annotations

from collections.abc import Iterator

from apex_opt.plan.optimistic import value
from apex_opt.plan.pairs import fastest_pairs
from apex_opt.plan.problem import Problem
from apex_opt.solvers.fleet_verify import faults

SEEDS = 8
"""Plans that are tried before the fleet model is asked."""


def seeds(asked: Problem) -> list[tuple[int, ...]]:
    """Return plans to start from where counts do not enter the objective, else none.

    There the model proposes plans in any order.
    """
    if any(kind.fixed for kind in asked.data.kinds):
        return []
    return [*fullest(asked), *fastest_pairs(asked, SEEDS)]


def fullest(asked: Problem) -> list[tuple[int, ...]]:
    """Return plans of one kind, as many replicas as the limits allow, fastest alone first."""
    totals = asked.traffic.features.totals
    times = {r: value(b.e2e_ns, totals) for r, b in enumerate(asked.bounds)}
    order = sorted((r for r in times if asked.data.kinds[r].role == "mixed"), key=times.__getitem__)
    found: list[tuple[int, ...]] = []
    for r in order:
        if len(found) == SEEDS:
            break
        plan = next((c for c in _downwards(asked, r) if not faults(asked.data, c)), None)
        if plan is not None:
            found.append(plan)
    return found


def _downwards(asked: Problem, r: int) -> Iterator[tuple[int, ...]]:
    """Yield the counts of kind `r` alone, from the most that stock and limits of number allow."""
    kind, data = asked.data.kinds[r], asked.data
    most = min(kind.max_count, (data.devices or kind.max_count * kind.devices) // kind.devices)
    for n in range(most, max(most - SEEDS, 0), -1):
        yield tuple(n if q == r else 0 for q in range(len(data.kinds)))
