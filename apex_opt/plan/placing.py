"""How the layers of a replica are split over its stages: the placement model, asked with its costs.

A stage takes the time of one given step; its memory must hold weights, buffers and the cache of
some of the longest requests. The first and the last layer are kinds of their own, as they stand
with embedding and head. Hops are left out, so that stages of equal layers may stand in any order:
they are put such that pools follow each other.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import accumulate, groupby, pairwise, permutations

from apex_opt.cost.drawn import Drawn
from apex_opt.cost.memory import ends_bytes, room_bytes
from apex_opt.cost.operators import layer
from apex_opt.cost.paging import paging
from apex_opt.cost.rates import Rates
from apex_opt.cost.reference import StageTimes, Step, stage_times
from apex_opt.cost.shape import Shape
from apex_opt.cost.weights import layer_bytes
from apex_opt.solvers.placement import solve
from apex_opt.solvers.placement_data import MOST, Group, Pipeline, PlacementData
from apex_opt.solvers.placement_graph import longest_run
from apex_opt.solvers.placement_verify import faults, period_ns

NS = 1e9
ABOUT = 1.02
"""How much slower a split may be whose pools follow each other: each change crosses the network."""


@dataclass(frozen=True)
class Aim:
    """What a split is best for.

    Attributes:
        step: the step that takes the slowest stage the least time.
        requests: longest requests whose cache every stage must hold.
    """

    step: Step
    requests: int


@dataclass(frozen=True)
class Need:
    """What a replica asks of the devices of a place: times and bytes of one device.

    Attributes:
        times: of the step.
        bytes: of a layer of each kind, weights and cache.
        ends: what embedding and head add to the first and the last stage.
        room: what there is.
    """

    times: StageTimes
    bytes: dict[str, int]
    ends: tuple[int, int]
    room: int


def order_of(shape: Shape) -> tuple[str, ...]:
    """Return the kinds of the layers, first to last."""
    return tuple(shape.model.sequence())


@lru_cache(maxsize=4096)
def _need(drawn: Drawn, aim: Aim) -> Need:
    shape = drawn.shape
    rates, settings = Rates(shape), shape.settings
    kinds = {name: layer(kind, shape) for name, kind in shape.model.layers.items()}
    room, factor = room_bytes(shape)
    held = {}
    for name, one in kinds.items():
        cut = paging(shape, {name: 1}, kinds)
        blocks = cut.needed(settings.max_model_len, shape.block_tokens) * aim.requests
        if settings.num_gpu_blocks is not None:
            blocks = settings.num_gpu_blocks
        held[name] = math.ceil(layer_bytes(rates, one) + factor * blocks * cut.page)
    ends = (ends_bytes(shape, 0), ends_bytes(shape, shape.pipeline - 1))
    return Need(
        times=stage_times(shape, aim.step),
        bytes=held,
        ends=(math.ceil(ends[0]), math.ceil(ends[1])),
        room=max(room, 0),
    )


def need(shape: Shape, stage: int, aim: Aim) -> Need:
    """Return what a replica of several stages asks of the devices of one of them."""
    # How the layers are split now is of no consequence, but that there are several stages.
    layers = len(order_of(shape))
    return _need(Drawn(replace(shape.at(stage), stage_layers=(1, layers - 1))), aim)


def _group(shape: Shape, pool: int, found: Need) -> Group:
    """Return the placement model's group; kinds are those of the model, then first and last."""
    order, times = order_of(shape), found.times
    names = list(shape.model.layers)

    def ns(seconds: float) -> int:
        return min(math.ceil(seconds * NS), MOST)

    layers = [tuple(ns(times.layers[k] * n) for n in range(order.count(k) + 1)) for k in names]
    ends = [(0, ns(times.layers[order[0]] + times.first))]
    ends += [(0, ns(times.layers[order[-1]] + times.last))]
    return Group(
        pool=pool,
        devices=1,
        memory_bytes=found.room,
        fixed_bytes=0,
        layer_bytes=(
            *(found.bytes[k] for k in names),
            found.bytes[order[0]] + found.ends[0],
            found.bytes[order[-1]] + found.ends[1],
        ),
        fixed_ns=0,
        layers_ns=(*layers, *ends),
    )


def _runs(shape: Shape) -> tuple[tuple[int, int], ...]:
    names, order = list(shape.model.layers), order_of(shape)
    middle = [(names.index(k), len(list(run))) for k, run in groupby(order[1:-1])]
    return ((len(names), 1), *middle, (len(names) + 1, 1))


@lru_cache(maxsize=4096)
def _placed(drawn: Drawn, aim: Aim) -> tuple[tuple[int, int], ...] | None:
    """Return (pool, layers) of each stage; None where memory does not suffice."""
    shape = drawn.shape
    pools = [pool.name for pool, _ in shape.pools()]
    stages = [next(s for s, at in enumerate(shape.places) if at.pool.name == p) for p in pools]
    groups = [_group(shape, p, need(shape, s, aim)) for p, s in enumerate(stages)]
    data = PlacementData(
        runs=_runs(shape),
        groups=tuple(groups),
        stock=tuple(count for _, count in shape.pools()),
        hop_ns=((0,) * len(groups),) * len(groups),
        stages=shape.pipeline,
    )
    answer = solve(data)
    if not answer.pipelines:
        return None
    found = _together(data, answer.pipelines[0]) or _sorted(data, answer.pipelines[0])
    found = _even(data, found)
    wrong = faults(data, (found,))
    assert not wrong, f"a split that the placement model does not allow: {wrong}"
    return tuple((g, last - first) for g, first, last in found)


def _together(data: PlacementData, pipeline: Pipeline) -> Pipeline | None:
    """Return a pipeline about as fast, of as many stages, whose pools follow each other, if any."""
    count = Counter(g for g, _, _ in pipeline)
    slowest_ns = math.floor(period_ns(data, (pipeline,)) * ABOUT)
    for order in permutations(sorted(count)):
        found = _filled(data, [g for g in order for _ in range(count[g])], slowest_ns)
        if found is not None:
            return found
    return None


def _filled(data: PlacementData, groups: Sequence[int], slowest_ns: int) -> Pipeline | None:
    """Return stages on these groups in turn, each with as many layers as time and memory allow.

    Times and bytes grow with the layers, so if any split will do then this one does.
    """
    at, stages = 0, []
    for nth, g in enumerate(groups, 1):
        end = at
        while end < data.layers - (len(groups) - nth):
            ns = data.stage_ns((g, at, end + 1))
            if ns is None or ns > slowest_ns:
                break
            end += 1
        if end == at:
            return None
        stages.append((g, at, end))
        at = end
    return tuple(stages) if at == data.layers else None


def _free(data: PlacementData, pipeline: Pipeline) -> range:
    """Return the stages all of whose layers are equal, by number; they follow each other."""
    start, stop = longest_run(data)
    inside = [i for i, (_, first, last) in enumerate(pipeline) if start <= first and last <= stop]
    return range(inside[0], inside[-1] + 1) if inside else range(0)


def _sorted(data: PlacementData, pipeline: Pipeline) -> Pipeline:
    """Return the pipeline with its free stages sorted such that pools change less often."""
    free = _free(data, pipeline)
    before = pipeline[free.start - 1][0] if free and free.start else -1
    after = pipeline[free.stop][0] if free and free.stop < len(pipeline) else -1

    def key(stage: tuple[int, int, int]) -> tuple[int, int]:
        return (0 if stage[0] == before else 2 if stage[0] == after else 1), stage[0]

    middle = sorted(pipeline[free.start : free.stop], key=key)
    return _joined([*pipeline[: free.start], *middle, *pipeline[free.stop :]])


def _even(data: PlacementData, pipeline: Pipeline) -> Pipeline:
    """Return the pipeline with the layers of its free stages spread evenly in each pool.

    No stage has more than the fullest one had, and the fullest fixes the cache.
    """
    free = _free(data, pipeline)
    found = list(pipeline)
    for g in {pipeline[i][0] for i in free}:
        mine = [i for i in free if pipeline[i][0] == g]
        layers = sum(pipeline[i][2] - pipeline[i][1] for i in mine)
        for nth, i in enumerate(mine):
            found[i] = (g, 0, layers // len(mine) + (nth < layers % len(mine)))
    return _joined(found)


def _joined(stages: Sequence[tuple[int, int, int]]) -> Pipeline:
    """Return stages of these groups and numbers of layers, one after the other."""
    ends = list(accumulate((last - first for _, first, last in stages), initial=0))
    return tuple((g, *cut) for (g, _, _), cut in zip(stages, pairwise(ends), strict=True))


def placed(shape: Shape, aim: Aim) -> Shape | None:
    """Return the replica with its layers split such that its slowest stage takes the least time.

    Stages stay in their pools, in any order; fewer than there are may do. None where no split fits.

    Args:
        shape: says how many stages stand in each pool.
        aim: the step, and the cache that must fit.
    """
    found = _placed(Drawn(shape), aim)
    if found is None:
        return None
    own = {at.pool.name: at for at in shape.places}
    names = [pool.name for pool, _ in shape.pools()]
    places = tuple(own[names[g]] for g, _ in found)
    layers = tuple(count for _, count in found)
    if not shape.elsewhere or len({at.pool.name for at in places}) == 1:
        one = places[0]
        return replace(shape, pool=one.pool, clock=one.clock, stage_layers=layers, elsewhere=())
    first = places[0]
    return replace(shape, pool=first.pool, clock=first.clock, stage_layers=layers, elsewhere=places)


def slowest_s(shape: Shape, aim: Aim) -> float:
    """Return the time of the slowest stage in the step of an aim, hops left out, seconds."""
    slowest = 0.0
    for stage, counts in enumerate(shape.stage_counts()):
        times = need(shape, stage, aim).times
        seconds = sum(times.layers[name] * n for name, n in counts.items())
        seconds += times.first if stage == 0 else 0.0
        seconds += times.last if stage == shape.pipeline - 1 else 0.0
        slowest = max(slowest, seconds)
    return slowest
