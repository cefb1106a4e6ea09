"""What runs already: which replicas of a plan need not be started."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from apex_opt.errors import CallError
from apex_opt.plan.plan_file import read_plan
from apex_opt.plan.result import Plan, Replica
from apex_opt.plan.use import Part
from apex_opt.spec.spec import Spec

UNLIKE = {"devices", "kv_blocks", "kv_tokens", "memory", "fullest_stage"}
"""Keys that follow from the others, and may change with what is known of a device."""


def running(spec: Spec, replicas: Sequence[Replica]) -> tuple[int, ...]:
    """Return how many of each replica run already; settings of the engine count as well.

    Raises:
        CallError: the file of the existing plan cannot be read, or is none.
    """
    if spec.existing is None:
        return (0,) * len(replicas)
    stands: dict[str, int] = {}
    for deployment in _plan(spec.folder / spec.existing.plan, spec.existing.rank).deployments:
        key = _key(deployment.replica)
        stands[key] = stands.get(key, 0) + deployment.count
    return tuple(stands.get(_key(one), 0) for one in replicas)


def starts(spec: Spec, parts: Sequence[Part]) -> int:
    """Return how many replicas of a plan do not run already; 0 where nothing is said to run.

    Raises:
        CallError: see `running`.
    """
    if spec.existing is None:
        return 0
    known = running(spec, [part.replica for part in parts])
    return sum(max(part.count - n, 0) for part, n in zip(parts, known, strict=True))


def start_usd_per_hour(spec: Spec, parts: Sequence[Part]) -> float:
    """Return what starting the plan costs, spread over the time that it is meant to run."""
    known = spec.existing
    return starts(spec, parts) * known.usd_per_start / known.hours if known else 0.0


def _plan(path: Path, rank: int) -> Plan:
    try:
        changed_ns = path.stat().st_mtime_ns
    except (OSError, ValueError):
        changed_ns = 0  # reading it says what is wrong
    return _read(path, rank, changed_ns)


@lru_cache(maxsize=4)
def _read(path: Path, rank: int, _: int) -> Plan:
    """Read a file once, until it changes: every plan of a search is held against it."""
    try:
        return read_plan(str(path), rank)
    except CallError as why:
        raise CallError(f"existing.plan: {why}") from None


def _key(replica: Replica) -> str:
    return replica.model_dump_json(exclude=UNLIKE)
