"""A second look at pipelines, without the solver: are they allowed, how fast are they?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import pairwise

from apex_opt.solvers.placement_data import Pipeline, PlacementData


def faults(data: PlacementData, pipelines: Sequence[Pipeline]) -> list[str]:
    """Return in words what forbids these pipelines; nothing if they are allowed."""
    wrong = []
    if len(pipelines) != data.pipelines:
        wrong.append(f"there are {len(pipelines)} pipelines, asked for are {data.pipelines}")
    for p, pipeline in enumerate(pipelines):
        wrong += [f"pipeline {p}: {fault}" for fault in _pipeline_wrong(data, pipeline)]
    return wrong or [*_shared_wrong(data, pipelines)]


def _pipeline_wrong(data: PlacementData, pipeline: Pipeline) -> Iterator[str]:
    ends = [0, *(last for _, _, last in pipeline)]
    if [first for _, first, _ in pipeline] != ends[:-1] or ends[-1] != data.layers:
        yield f"its stages do not hold the {data.layers} layers one after the other"
        return
    if any(not 0 <= g < len(data.groups) or first >= last for g, first, last in pipeline):
        yield "a stage has no group or no layers"
        return
    unfit = [stage for stage in pipeline if data.stage_ns(stage) is None]
    for g, first, last in unfit:
        yield f"group {g} cannot hold layers {first} to {last - 1}"
    if data.stages is not None and len(pipeline) > data.stages:
        yield f"{len(pipeline)} stages, at most {data.stages} allowed"
    if data.latency_ns is not None and not unfit:
        latency = latency_ns(data, pipeline)
        if latency > data.latency_ns:
            yield f"latency {latency} ns, at most {data.latency_ns} allowed"


def _shared_wrong(data: PlacementData, pipelines: Sequence[Pipeline]) -> Iterator[str]:
    used = Counter(g for pipeline in pipelines for g, _, _ in pipeline)
    for p, devices in enumerate(data.stock):
        taken = sum(n * data.groups[g].devices for g, n in used.items() if data.groups[g].pool == p)
        if taken > devices:
            yield f"pool {p}: {taken} devices taken, there are {devices}"
    power = sum(n * data.groups[g].power_mw for g, n in used.items())
    if data.power_mw is not None and power > data.power_mw:
        yield f"power: {power} mW taken, at most {data.power_mw} allowed"


def period_ns(data: PlacementData, pipelines: Sequence[Pipeline]) -> int:
    """Return the time between two steps of the slowest pipeline: its slowest stage or hop."""
    stages = [_stage_ns(data, stage) for pipeline in pipelines for stage in pipeline]
    hops = [hop for pipeline in pipelines for hop in _hops_ns(data, pipeline)]
    return max(stages + hops)


def latency_ns(data: PlacementData, pipeline: Pipeline) -> int:
    """Return the time of one step through all stages and hops of an allowed pipeline."""
    return sum(_stage_ns(data, stage) for stage in pipeline) + sum(_hops_ns(data, pipeline))


def _stage_ns(data: PlacementData, stage: tuple[int, int, int]) -> int:
    time = data.stage_ns(stage)
    if time is None:
        raise ValueError(f"group {stage[0]} cannot hold layers {stage[1]} to {stage[2] - 1}")
    return time


def _hops_ns(data: PlacementData, pipeline: Pipeline) -> list[int]:
    return [data.hop_ns[one[0]][next_[0]] for one, next_ in pairwise(pipeline)]
