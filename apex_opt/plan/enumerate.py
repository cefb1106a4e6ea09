"""Every replica that the spec allows: degrees x formats x clocks x settings of each pool."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import combinations, product

from apex_opt.cost.memory import Fit, fit
from apex_opt.cost.rates import half_precision
from apex_opt.cost.shape import Place, Shape, even_split
from apex_opt.plan.contexts import copies
from apex_opt.plan.depths import Group, Hopeless, few_pinned
from apex_opt.plan.legality import why_no_room, why_not
from apex_opt.plan.settings import own_share, settings
from apex_opt.plan.uneven import uneven
from apex_opt.plan.unlike import across
from apex_opt.spec import catalog
from apex_opt.spec.pools import Device, Pool
from apex_opt.spec.quantization import KvFormat, WeightFormat
from apex_opt.spec.spec import Spec

HALVES = ("bf16", "fp16")

MOST_POOLS = 3
"""Pools over which one replica may stand."""


Sizes = tuple[int, int, int, int, int]
"""Degrees of a replica: TP, ADP, CP, PP, EP."""


@dataclass(frozen=True)
class Enumeration:
    """The legal replicas of a spec with what fits in their memory, and why the others are not.

    `refused` maps a reason to the number of shapes that it refuses.
    """

    legal: tuple[tuple[Shape, Fit], ...]
    refused: dict[str, int]


def tensor_degrees(spec: Spec, pool: Pool) -> tuple[int, ...]:
    """Return the TP degrees to try: the spec's, else divisors of a node, and 2 or 4 nodes."""
    asked = spec.parallelism.tensor
    if asked != "auto":
        return asked
    node = pool.node_devices
    inside = [t for t in range(1, node + 1) if node % t == 0]
    across = [node * m for m in (2, 4) if m <= pool.nodes]
    return tuple(inside + across)


def attention_degrees(spec: Spec, pool: Pool) -> tuple[int, ...]:
    """Return the ADP degrees to try: the spec's, else powers of two that divide a node.

    Only experts are shared by ranks: without them there is one.
    """
    asked = spec.parallelism.attention_data
    if asked != "auto":
        return asked
    most = pool.node_devices if has_experts(spec) else 1
    return tuple(1 << i for i in range(most.bit_length()) if most % (1 << i) == 0)


def pipeline_degrees(spec: Spec, pool: Pool, tensor: int, ranks: int = 1) -> Iterator[int]:
    """Yield the PP degrees to try: the spec's, else all that layers and devices allow.

    Several attention-data-parallel ranks have one stage.
    """
    asked = spec.parallelism.pipeline
    if asked != "auto":
        yield from asked
        return
    most = min(len(spec.model.sequence()), pool.devices // tensor, spec.parallelism.max_stages)
    yield from range(1, (most if ranks == 1 else 1) + 1)


def expert_degrees(spec: Spec, stage_devices: int) -> tuple[int, ...]:
    """Return the EP degrees to try: the spec's, else 1 and, for experts, the whole stage."""
    asked = spec.parallelism.expert
    if asked != "auto":
        return asked
    return (1, stage_devices) if has_experts(spec) and stage_devices > 1 else (1,)


def context_degrees(spec: Spec, tensor: int) -> tuple[int, ...]:
    """Return the CP degrees to try: the spec's, else divisors of TP, up to the copies of a head."""
    asked = spec.parallelism.context
    if asked != "auto":
        return asked
    most = copies(spec.model, tensor)
    return tuple(c for c in range(1, max(most, 1) + 1) if tensor % c == 0)


def has_experts(spec: Spec) -> bool:
    """Return whether the model is a mixture of experts."""
    return any(kind.ffn.kind == "moe" for kind in spec.model.layers.values())


def degrees(spec: Spec, pool: Pool) -> Iterator[Sizes]:
    """Yield the degrees to try: TP, ADP, CP, PP, EP."""
    for ranks in attention_degrees(spec, pool):
        for tensor in tensor_degrees(spec, pool):
            stages = tuple(pipeline_degrees(spec, pool, tensor, ranks))
            experts = expert_degrees(spec, tensor * ranks)
            for context, pipeline, expert in product(
                context_degrees(spec, tensor), stages, experts
            ):
                yield tensor, ranks, context, pipeline, expert


def formats(spec: Spec, pools: Sequence[Pool]) -> Iterator[tuple[WeightFormat, KvFormat]]:
    """Yield the formats to try; by default the checkpoint's weights and a 16-bit cache.

    Args:
        spec: names the formats.
        pools: where stages of one replica stand, all in one format.
    """
    weights = spec.quantization.weights or (catalog.weight_format(spec.model.native_weights),)
    caches = spec.quantization.kv_cache or (catalog.kv_format("bf16"),)
    found = {}
    for pair in product(weights, caches):
        for pool in pools:
            pair = as_served(pool.device, *pair)
        found[pair[0].name, pair[1].name] = pair
    yield from found.values()


def as_served(
    device: Device, weights: WeightFormat, kv_cache: KvFormat
) -> tuple[WeightFormat, KvFormat]:
    """Return formats as an engine runs them: whatever has 16 bits is of one type.

    It is fp16 on a device without bf16, else that of the weights, else that of the cache.

    Source: vLLM refuses `--dtype bfloat16` on such a device (platforms/cuda.py, check_if_supports_
    dtype), and its attention kernels take queries and a 16-bit cache of one type.
    """
    half = "fp16" if half_precision(device) == "fp16" else None
    if weights.name in HALVES:
        half = half or weights.name
        weights = catalog.weight_format(half)
    if half is not None and kv_cache.name in HALVES:
        kv_cache = catalog.kv_format(half)
    return weights, kv_cache


def clocks(pool: Pool) -> tuple[float, ...]:
    """Return clocks as shares of the boost clock, which is known where clocks are asked for."""
    boost = pool.device.clock_mhz
    if pool.clocks_mhz is None or boost is None:
        return (1.0,)
    return tuple(c / boost for c in pool.clocks_mhz)


def shapes(spec: Spec, pool: Pool, longest_tokens: int) -> Iterator[Shape]:
    """Yield every shape of the pool, legal or not."""
    for _, shape in _grouped(spec, pool, longest_tokens, degrees(spec, pool)):
        yield shape


def _grouped(
    spec: Spec,
    pool: Pool,
    longest_tokens: int,
    tried: Iterable[Sizes],
    hopeless: Hopeless | None = None,
) -> Iterator[tuple[Group, Shape]]:
    """Yield every shape of these degrees, but those that are known to be hopeless, and its group.

    A group differs in the number of stages alone.
    """
    release = catalog.release(spec.engine.name, spec.engine.version)
    layers = len(spec.model.sequence())
    choices = product(
        formats(spec, (pool,)), clocks(pool), settings(spec, pool, release, longest_tokens)
    )
    numbered = tuple(enumerate(choices))
    for (tensor, ranks, context, pipeline, expert), (nth, choice) in product(tried, numbered):
        group = (tensor, ranks, context, expert, nth)
        if hopeless is not None and hopeless.has(group, pipeline):
            continue
        (weights, kv_cache), clock, chosen = choice
        found = Shape(
            model=spec.model,
            pool=pool,
            network=spec.network,
            release=release,
            settings=chosen,
            weights=weights,
            kv_cache=kv_cache,
            tensor=tensor,
            expert=expert,
            stage_layers=even_split(layers, pipeline, spec.engine.name),
            clock=clock,
            reserve_fraction=spec.limits.memory_reserve_fraction,
            expert_skew=spec.parallelism.expert_skew,
            attention_data=ranks,
            context=context,
        )
        yield group, fitted(spec, found)


def fitted(spec: Spec, shape: Shape) -> Shape:
    """Return the shape with the share of memory that its engine takes: the least of any device."""
    stages = range(shape.pipeline if shape.elsewhere else 1)
    share = min(own_share(spec.engine, shape.release, shape.at(stage)) for stage in stages)
    return replace(shape, settings=replace(shape.settings, gpu_memory_utilization=share))


def _other_splits(spec: Spec, shape: Shape, *, fits: bool) -> Iterator[tuple[Shape, Fit]]:
    """Yield the replica with another split of its layers, where that fits and is asked for."""
    wanted = spec.parallelism.layer_split
    if shape.pipeline == 1 or shape.elsewhere or wanted == "even" or (fits and wanted == "auto"):
        return
    other = uneven(shape, fits=fits)
    if other is not None:
        room = fit(other)
        if why_no_room(other, room) is None:
            yield other, room


def shapes_across(spec: Spec, longest_tokens: int, below: float = math.inf) -> Iterator[Shape]:
    """Yield the shapes that stand in two or three pools, legal or not; none unless asked for.

    What takes `below` devices or more is passed over, before its layers are split.
    """
    asked = spec.parallelism
    ones = (asked.attention_data, asked.context)
    if not asked.cross_pool or any(d != "auto" and 1 not in d for d in ones):
        return
    for number in range(2, MOST_POOLS + 1):
        for pools in combinations(spec.pools, number):
            yield from _shapes_across(spec, pools, longest_tokens, below)


def _shapes_across(
    spec: Spec, pools: tuple[Pool, ...], longest_tokens: int, below: float
) -> Iterator[Shape]:
    """Yield the shapes that stand in all of these pools.

    The engine's defaults are those of the device with the least memory: one setting holds for all.
    """
    asked, release = spec.parallelism, catalog.release(spec.engine.name, spec.engine.version)
    smallest = min(pools, key=lambda pool: pool.device.memory_bytes)
    tensors = [set(tensor_degrees(spec, pool)) for pool in pools]
    choices = product(
        formats(spec, pools),
        product(*(clocks(pool) for pool in pools)),
        settings(spec, smallest, release, longest_tokens),
    )
    for (weights, kv_cache), speeds, chosen in choices:
        places = tuple(Place(*at) for at in zip(pools, speeds, strict=True))
        trials = []
        for tensor in sorted(set.intersection(*tensors)):
            for expert in expert_degrees(spec, tensor):
                trial = Shape(
                    model=spec.model,
                    pool=places[0].pool,
                    network=spec.network,
                    release=release,
                    settings=chosen,
                    weights=weights,
                    kv_cache=kv_cache,
                    tensor=tensor,
                    expert=expert,
                    stage_layers=even_split(len(spec.model.sequence()), len(places)),
                    clock=places[0].clock,
                    reserve_fraction=spec.limits.memory_reserve_fraction,
                    expert_skew=asked.expert_skew,
                    elsewhere=places,
                )
                if why_not(trial) is None:
                    trials.append(fitted(spec, trial))
                else:
                    yield trial
        totals = None if asked.pipeline == "auto" else asked.pipeline
        most = asked.max_stages if totals is None else max(totals)
        yield from across(trials, most, totals, partial(fitted, spec), below)


def enumerate_replicas(spec: Spec, longest_tokens: int, *, reasons: bool = True) -> Enumeration:
    """Return the legal replicas of every pool.

    Args:
        spec: the spec.
        longest_tokens: prompt + output of the longest request that is to be served.
        reasons: look at every replica, also at those that others show to be not legal.
    """
    legal: list[tuple[Shape, Fit]] = []
    refused: dict[str, int] = {}

    def look(shape: Shape) -> bool:
        found, reason = _held(spec, shape)
        legal.extend(found)
        if reason is not None:
            refused[reason] = refused.get(reason, 0) + 1
        return bool(found)

    for pool in spec.pools:
        hopeless = None if reasons else Hopeless()
        for group, shape in _grouped(spec, pool, longest_tokens, degrees(spec, pool), hopeless):
            if not look(shape) and hopeless is not None:
                hopeless.learn(group, shape)
    for shape in shapes_across(spec, longest_tokens):
        look(shape)
    return Enumeration(tuple(legal), refused)


def fewest_devices(spec: Spec, longest_tokens: int) -> int | None:
    """Return the devices of the smallest legal replica of any pool; None where there is none."""
    inside = [_smallest(spec, pool, longest_tokens) for pool in spec.pools]
    least = min((devices for devices in inside if devices is not None), default=None)
    over = shapes_across(spec, longest_tokens, math.inf if least is None else least)
    smallest_first = sorted(over, key=lambda shape: shape.devices)
    return next((shape.devices for shape in smallest_first if _held(spec, shape)[0]), least)


def _smallest(spec: Spec, pool: Pool, longest_tokens: int) -> int | None:
    """Return the devices of the smallest legal replica of a pool; None where there is none."""
    hopeless = Hopeless()
    smallest_first = sorted(degrees(spec, pool), key=lambda d: d[0] * d[1] * d[3])
    for group, shape in _grouped(spec, pool, longest_tokens, smallest_first, hopeless):
        if _held(spec, shape)[0]:
            return shape.devices
        hopeless.learn(group, shape)
    return None


def _held(spec: Spec, shape: Shape) -> tuple[list[tuple[Shape, Fit]], str | None]:
    """Return the legal replicas of a shape, its own split or another, and why not its own."""
    reason = why_not(shape)
    if reason is not None:
        return [], reason
    room = fit(shape)
    reason = why_no_room(shape, room)
    found = [(shape, room)] if reason is None else []
    if reason is not None and few_pinned(shape, room):
        return [], reason
    return [*found, *_other_splits(spec, shape, fits=reason is None)], reason
