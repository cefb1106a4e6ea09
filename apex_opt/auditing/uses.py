"""What a simulated plan uses of an entry: how tight the entry could be for this very plan."""

from __future__ import annotations

from collections.abc import Sequence

from apex_opt.auditing.entries import Entry
from apex_opt.plan.problem import Problem
from apex_opt.plan.result import Prediction
from apex_opt.plan.tell import limits_of
from apex_opt.plan.tried import Tried
from apex_opt.plan.use import Part
from apex_opt.spec.goals import Percentiles
from apex_opt.spec.spec import Spec

NONE_IS_LESS = {"limits.prefill_devices", "limits.decode_devices"}
"""Limits that are one at least, though a plan may use nothing of them."""


def uses(entry: Entry, spec: Spec, asked: Problem, plan: Tried) -> float | None:
    """Return the tightest value of the entry that the plan meets; None where nobody can tell."""
    played = plan.outcome
    if played is None:
        return None
    runs = [run.prediction for run in (played, played.lost) if run is not None]
    if entry.family == "slo":
        return _level(entry, spec, runs)
    if entry.family == "stability":
        return max(shown.drain_s for shown in runs)
    if entry.key.endswith(".nodes"):
        return _nodes_taken(entry, asked, plan)
    if entry.key == "parallelism.max_stages":
        return float(max(part.candidate.shape.pipeline for part in played.parts))
    for limit in limits_of(spec, played):
        if limit.limit == entry.key:
            return max(limit.used, 1.0) if entry.key in NONE_IS_LESS else limit.used
    return None


def _level(entry: Entry, spec: Spec, runs: Sequence[Prediction]) -> float | None:
    """Return what a level comes to, also in the run without spare replicas if there is one."""
    if entry.loc[-1] == "attainment":
        return min(min(shown.attainment, shown.completed / shown.requests) for shown in runs)
    if isinstance(getattr(spec.slo, str(entry.loc[1])), Percentiles):
        metric, statistic = str(entry.loc[1]), str(entry.loc[2])
        return max(float(getattr(getattr(shown, metric), statistic)) for shown in runs)
    return None  # a limit on each request: the share that meets it decides


def _nodes_taken(entry: Entry, asked: Problem, plan: Tried) -> float:
    """Return the nodes that the plan takes of a pool, one at least."""
    assert plan.outcome is not None
    return float(max(1, _nodes(asked, int(entry.loc[1]), plan.outcome.parts)))


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
