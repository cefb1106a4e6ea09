"""Which plans are as good as the first, as far as predictions can tell.

The error of engine and model is shared by all plans of a spec, and cancels in their comparison:
what is left is that of devices and formats.
"""

from __future__ import annotations

from collections.abc import Sequence

from apex_opt.plan.grounds import alike, joined, widths
from apex_opt.plan.objective import goal
from apex_opt.plan.predict import Played
from apex_opt.plan.use import Part
from apex_opt.spec.spec import Spec

CLOSE, SPREAD, RANKED = 0.03, 0.06, 0.2
"""Half-widths between plans on the same devices in the same formats: of plans that differ in tensor
and pipeline degrees only; in whether experts are spread whole; in attention-data ranks. Plans that
are predicted to differ by more are ordered as measured nine times in ten (docs/validation.md).
Context degrees are not measured: plans that differ in them are held to be as unlike as ranks.
"""

COUNTED = {"cost", "devices"}
"""Objectives in which prediction has no part."""

BY_POWER = {"energy", "power"}


def ties(spec: Spec, plans: Sequence[Played]) -> list[bool]:
    """Return which plans tie with the first, which ties with none.

    Args:
        spec: its objective is read.
        plans: best first.
    """
    return [i > 0 and _tie(spec, plans[0], plan) for i, plan in enumerate(plans)]


def _tie(spec: Spec, first: Played, other: Played) -> bool:
    chosen = goal(spec.objective)
    best, worth = (
        chosen.value(p.prediction, sum(part.devices for part in p.parts)) for p in (first, other)
    )
    low, high = sorted((best, worth))
    return high == low or (
        chosen.name not in COUNTED and high <= low * (1 + _between(chosen.name, first, other))
    )


def _between(objective: str, first: Played, other: Played) -> float:
    """Return the half-width of the ratio of two plans' objectives."""
    told = _told_apart(first.parts, other.parts)
    if alike(first.parts, other.parts):
        return told
    return max(joined(*(_own(objective, plan) for plan in (first, other))), told)


def _told_apart(one: Sequence[Part], other: Sequence[Part]) -> float:
    """Return the half-width between the ways in which two plans split the model."""
    if any(_values(one, key) != _values(other, key) for key in ("attention_data", "context")):
        return RANKED
    spread = [max(_values(parts, "expert")) > 1 for parts in (one, other)]
    return CLOSE if spread[0] is spread[1] else SPREAD


def _values(parts: Sequence[Part], degree: str) -> set[int]:
    return {getattr(part.candidate.shape, degree) for part in parts}


def _own(objective: str, plan: Played) -> float:
    """Return the half-width of what a plan does not share with others."""
    known = [widths(part, did) for part, did in zip(plan.parts, plan.did, strict=True)]
    kernels = max(w.kernels for w in known)
    return joined(kernels, max(w.power for w in known)) if objective in BY_POWER else kernels
