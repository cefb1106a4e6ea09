"""What a simulated plan uses of an entry: how tight the entry could be for this very plan."""

from __future__ import annotations

from collections.abc import Sequence

from apex_opt.auditing.entries import Entry
from apex_opt.plan.levels import counts_goodput
from apex_opt.plan.problem import Problem
from apex_opt.plan.tried import Tried
from apex_opt.plan.use import Part
from apex_opt.spec.goals import Percentiles
from apex_opt.spec.spec import Spec


def uses(entry: Entry, spec: Spec, asked: Problem, plan: Tried) -> float | None:
    """Return the tightest value of the entry that the plan meets; None where nobody can tell."""
    played = plan.outcome
    if played is None:
        return None
    shown, parts = played.prediction, played.parts
    key = entry.loc[-1]
    if entry.family == "slo":
        return _level(entry, spec, plan)
    if entry.family == "stability":
        return shown.drain_s
    if entry.loc[0] == "limits":
        sums = {
            "power_w": played.power.total_w,
            "budget_per_hour": shown.cost_per_hour,
            "devices": float(sum(p.devices for p in parts)),
            **{f"{role}_devices": _of_role(parts, role) for role in ("prefill", "decode")},
            "replicas": float(sum(p.count for p in parts)),
        }
        return sums.get(str(key))
    if entry.loc[0] == "pools" and key in {"nodes", "power_w"}:
        return _of_pool(entry, asked, plan)
    return None


def _of_role(parts: Sequence[Part], role: str) -> float:
    """Return the devices of all replicas of a role: one at least, as no limit is less."""
    return float(max(1, sum(p.devices for p in parts if p.role == role)))


def _level(entry: Entry, spec: Spec, plan: Tried) -> float | None:
    assert plan.outcome is not None
    shown = plan.outcome.prediction
    if entry.loc[-1] == "attainment":
        if counts_goodput(spec):
            return None
        return min(shown.attainment, shown.completed / shown.requests)
    if isinstance(getattr(spec.slo, str(entry.loc[1])), Percentiles):
        return float(getattr(getattr(shown, str(entry.loc[1])), str(entry.loc[2])))
    return None  # a limit on each request: the share that meets it decides


def _of_pool(entry: Entry, asked: Problem, plan: Tried) -> float | None:
    """Return the nodes that the plan takes of a pool, or the power that it draws there."""
    assert plan.outcome is not None
    nth = int(entry.loc[1])
    parts = plan.outcome.parts
    if entry.loc[-1] == "power_w":
        return plan.outcome.power.in_pool_w(nth)
    return float(max(1, _nodes(asked, nth, parts)))


def _nodes(asked: Problem, nth: int, parts: Sequence[Part]) -> int:
    """Return nodes that suffice for replicas: each size of group on nodes of its own."""
    node = asked.data.pools[nth].node_devices
    groups: dict[int, int] = {}
    for part in parts:
        size = part.candidate.shape.stage_devices
        stages = part.candidate.stages_in.get(nth, 0)
        groups[size] = groups.get(size, 0) + part.count * stages
    return sum(
        count * (size // node) if size > node else -(-count // (node // size))
        for size, count in groups.items()
    )
