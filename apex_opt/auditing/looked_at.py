"""Which replicas a question is asked of: those that limits allow one of; of many a sample first."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import get_args

from apex_opt.cost.shape import Shape
from apex_opt.plan.candidate import Candidate
from apex_opt.plan.power import least_w
from apex_opt.plan.roles import exchange
from apex_opt.sim.member import Role
from apex_opt.spec.spec import Spec

SAMPLE = 24
"""Replicas among which a plan is looked for first, where there are many."""


def within(spec: Spec, legal: Sequence[Candidate]) -> list[Candidate]:
    """Return the legal replicas of which limits and pools allow one."""
    return [one for one in legal if affordable(spec, one.shape)]


def paired(candidates: Sequence[Candidate]) -> list[Candidate]:
    """Return the candidates that may stand in a plan of these: mixed, or with one to serve with."""
    caches = {role: set[Hashable]() for role in get_args(Role)}
    for one in candidates:
        caches[one.role].add(exchange(one.shape))
    both = caches["prefill"] & caches["decode"]
    return [one for one in candidates if one.role == "mixed" or exchange(one.shape) in both]


def affordable(spec: Spec, shape: Shape) -> bool:
    """Whether limits and pool allow one replica of this shape, whatever it does."""
    limits, drawn_w = spec.limits, least_w(spec, shape)
    rows = [
        (limits.devices, shape.devices),
        (limits.budget_per_hour, shape.price_per_hour),
        (limits.power_w, sum(drawn_w)),
    ]
    drawn = zip(shape.pools(), drawn_w, strict=True)
    rows += [(pool.power_w, watts) for (pool, _), watts in drawn]
    return all(most is None or taken <= most for most, taken in rows)


def spread(candidates: Sequence[Candidate]) -> list[Candidate]:
    """Return few of many candidates, from the smallest to the largest replica."""
    apart = any(c.role != "mixed" for c in candidates)  # a sample may lack one of the roles
    if apart or len(candidates) <= 2 * SAMPLE:
        return list(candidates)
    order = sorted(candidates, key=lambda c: (c.shape.devices, c.fit.blocks))
    return [order[round(i * (len(order) - 1) / (SAMPLE - 1))] for i in range(SAMPLE)]
