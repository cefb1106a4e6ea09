"""The plan that comes closest to a spec that it does not meet, and by what it misses."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from apex_opt.auditing.words import digits
from apex_opt.plan.predict import Played
from apex_opt.plan.result import Check
from apex_opt.plan.tell import limits_of, why_missed
from apex_opt.plan.tried import Tried
from apex_opt.spec.spec import Spec

NEVER = 1e9
"""The distance of a plan whose run has no end."""


def distance(spec: Spec, plan: Tried) -> float:
    """Return by how much a plan misses, summed over what it misses: each a relative excess."""
    if plan.outcome is None:
        return NEVER
    total = 0.0
    for check, _ in _missed(plan.outcome):
        low, high = sorted((max(check.value, 1e-9), max(check.limit, 1e-9)))
        total += math.log(high / low)
    for limit in limits_of(spec, plan.outcome):
        if limit.used > limit.value:
            total += math.log(limit.used / max(limit.value, 1e-9))
    return total


def misses(spec: Spec, plan: Tried) -> list[tuple[str, str]]:
    """Return all that a plan misses: the key of the entry, and in words."""
    if plan.outcome is None:
        return [("", plan.missed or "cannot be simulated")]
    levels = [(_key(check), words) for check, words in _missed(plan.outcome)]
    limits = [
        (limit.limit, f"`{limit.limit}` {digits(limit.used)} > {digits(limit.value)} {limit.unit}")
        for limit in limits_of(spec, plan.outcome)
        if limit.used > limit.value
    ]
    return [*levels, *limits] or [("", plan.missed or "")]


def _missed(played: Played) -> Iterator[tuple[Check, str]]:
    """Yield the levels that a plan misses, in words; then those that only what is left of it does.

    Without its spare replicas a plan must meet them too.
    """
    whole = [check for check in played.checks if not check.met]
    yield from ((check, why_missed(check)) for check in whole)
    known = {(check.metric, check.statistic) for check in whole}
    for check in () if played.lost is None else played.lost.checks:
        if not check.met and (check.metric, check.statistic) not in known:
            yield check, f"{why_missed(check)}, without its spare replicas"


def _key(check: Check) -> str:
    """Return the key of the entry that asks for a level."""
    if check.metric in {"attainment", "completed"}:
        return "slo.attainment"
    return "slo.drain_s" if check.metric == "drain_s" else f"slo.{check.metric}.{check.statistic}"


def closest(spec: Spec, plans: Sequence[Tried]) -> tuple[Tried, list[tuple[str, str]]]:
    """Return the plan of those that comes closest to `spec`, and what it misses."""
    best = min(plans, key=lambda plan: distance(spec, plan))
    return best, misses(spec, best)
