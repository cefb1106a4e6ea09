"""Spare replicas: a plan must meet its service levels once they are lost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from apex_opt.errors import CallError
from apex_opt.plan.use import Part


def without_spares(parts: Sequence[Part]) -> tuple[Part, ...] | None:
    """Return the deployments without their spare replicas; None where none has any.

    Raises:
        CallError: a deployment has no replica beside its spare ones.
    """
    spares = [part.candidate.shape.spare_replicas for part in parts]
    for part, spare in zip(parts, spares, strict=True):
        if part.count <= spare:
            pools = (p.name for p, _ in part.candidate.shape.pools() if p.spare_replicas == spare)
            pool = next(pools)
            raise CallError(
                f"pools.{pool}.spare_replicas: the plan has {part.count} x {part.replica.label}, "
                f"and {spare} may be lost; it takes at least {spare + 1}"
            )
    if not any(spares):
        return None
    return tuple(replace(p, count=p.count - n) for p, n in zip(parts, spares, strict=True))
