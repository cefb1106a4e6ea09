"""The step-time table of a replica: what the simulator reads, built from its operators.

For every batch size from 0 to the token budget, on every pipeline stage: layers + embedding (first
stage) + engine overhead; for every number of sampled rows: what decode attention costs by sequence,
and the LM head (last stage). Stages that are alike share a row.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import lru_cache, reduce
from operator import add

import numpy as np

from apex_opt.cost import collectives
from apex_opt.cost.curves import Array
from apex_opt.cost.drawn import Drawn
from apex_opt.cost.operators import ACTIVATION_BYTES
from apex_opt.cost.rates import Cost, replica_idle_w
from apex_opt.cost.shape import Shape
from apex_opt.cost.step_parts import KEPT, READING, parts
from apex_opt.sim.steps import Int64, StepTable

NS = 1e9
FS = 1e15

PROMPTS_IN_GRAPHS = frozenset({"vllm-v1"})
"""Schedulers whose steps with prompts run in CUDA graphs, but for attention, where they are small:
vLLM V1 captures them in pieces (vllm/config/compilation.py, `cudagraph_mode`). Elsewhere graphs are
for decoding alone: vLLM V0 (vllm/worker/model_runner.py), SGLang (srt/model_executor/
cuda_graph_runner.py `can_run`), TensorRT-LLM (documentation, `cuda_graph_config`).
"""


@dataclass(frozen=True)
class _Stage:
    """Costs of one pipeline stage, one device; times as the table has them.

    Attributes:
        reading_fs, reading_j: by token or pair, each of `READING`.
    """

    decode_ns: Int64
    mixed_ns: Int64
    rows_ns: Int64
    reading_fs: Int64
    decode_j: Array
    mixed_j: Array
    rows_j: Array
    reading_j: Array


def _sum(costs: Iterable[Cost]) -> Cost:
    return reduce(add, costs)


def _waited(cost: Cost, eager_s: Array, launch_s: Array) -> Cost:
    """Return a cost with what kernels take that are launched one by one; devices wait for these."""
    return Cost(np.maximum(cost.seconds + eager_s, launch_s), cost.joules)


@lru_cache(maxsize=KEPT)
def _stage(
    place: Drawn, layers_of: tuple[tuple[str, int], ...], *, first: bool, last: bool
) -> _Stage:
    """Return the costs of a stage, which pipelines of several depths may share."""
    shape, made_of = place.shape, parts(place)
    kinds = [(made_of.kinds[name], count) for name, count in layers_of]
    decode = _sum(kind.tokens * count for kind, count in kinds)
    sampled = _sum(kind.sequences * count for kind, count in kinds)
    if first:
        decode = made_of.embedding + decode
    if last:
        sampled = sampled + made_of.head
    mixed = decode + _sum(kind.prompts * count for kind, count in kinds)
    reading = _sum(kind.reading * count for kind, count in kinds)
    tokens, own = made_of.tokens, shape.release.overheads
    layers = sum(count for _, count in layers_of)
    least = (0, shape.settings.graph_tokens)  # batches beyond graphs are launched by the host
    some, beyond = ((tokens > n).astype(np.float64) for n in least)
    captured = shape.release.scheduler in PROMPTS_IN_GRAPHS
    eager_s, launch_s = own.eager_layer_us * 1e-6 * layers, own.host_layer_us * 1e-6 * layers
    decode = _waited(decode, eager_s * beyond, launch_s * beyond)
    mixed = _waited(mixed, eager_s * some, launch_s * (beyond if captured else some))
    return _Stage(
        decode_ns=_ceil(decode.seconds, NS),
        mixed_ns=_ceil(mixed.seconds, NS),
        rows_ns=_ceil(sampled.seconds, NS),
        reading_fs=_ceil(reading.seconds, FS),
        decode_j=decode.joules,
        mixed_j=mixed.joules,
        rows_j=sampled.joules,
        reading_j=reading.joules,
    )


@dataclass(frozen=True)
class _Pipeline:
    """The stages that differ, of which a pipeline has few.

    Attributes:
        unlike: each with what sending activations onward takes.
        row: (stages,) which of them each stage is.
        window_tokens: of the model, which all share.
    """

    unlike: list[tuple[_Stage, Int64]]
    row: Int64
    window_tokens: int


def _pipeline(shape: Shape) -> _Pipeline:
    """Return the stages of a replica; equal ones are computed once."""
    unlike_places = range(shape.pipeline if shape.elsewhere else 1)
    places = [Drawn(replace(shape.at(stage), stage_layers=(1,))) for stage in unlike_places]
    places *= shape.pipeline // len(places)
    unlike: dict[object, tuple[_Stage, Int64]] = {}
    row: list[int] = []
    for stage, counts in enumerate(shape.stage_counts()):
        last = stage == shape.pipeline - 1
        layers = tuple(counts.items())
        work = (places[stage], stage == 0, last, layers)
        onward = None if last else (places[stage + 1], collectives.near(shape, stage))
        if (work, onward) not in unlike:
            one = _stage(places[stage], layers, first=stage == 0, last=last)
            hop_ns = np.zeros_like(one.decode_ns)
            if onward is not None:
                hop_ns = _hop_ns(places[stage], *onward)
            unlike[work, onward] = one, hop_ns
        row.append(list(unlike).index((work, onward)))
    window_tokens = parts(places[0]).window_tokens
    return _Pipeline(list(unlike.values()), np.array(row, np.int64), window_tokens)


@lru_cache(maxsize=KEPT)
def _hop_ns(source: Drawn, target: Drawn, same_node: bool) -> Int64:
    """Return what sending activations from a stage to another takes, by tokens."""
    model, tokens = source.shape.model, parts(source).tokens.astype(np.float64)
    size = ACTIVATION_BYTES * tokens * model.hidden_size
    return _ceil(collectives.hop(source.shape, target.shape, size, same_node=same_node), NS)


def _ceil(seconds: Array, unit: float) -> Int64:
    """Return times as integers, rounded up so that no step beats its floor."""
    return np.ascontiguousarray(np.ceil(seconds * unit), dtype=np.int64)


def step_table(shape: Shape) -> StepTable:
    """Return the step-time table of a replica.

    Raises:
        ValueError: the device cannot compute in the shape's weight format.
    """
    pipeline = _pipeline(shape)
    stages, times = [stage for stage, _ in pipeline.unlike], np.bincount(pipeline.row).tolist()

    def joules(each: list[Array]) -> Array:
        over_stages = sum(n * one for n, one in zip(times, each, strict=True))
        return np.ascontiguousarray(over_stages * shape.tensor)

    reading_fs = np.stack([s.reading_fs for s in stages], axis=1)
    reading_j = joules([s.reading_j for s in stages]).tolist()
    return StepTable(
        decode_ns=np.stack([s.decode_ns for s in stages]),
        mixed_ns=np.stack([s.mixed_ns for s in stages]),
        rows_ns=np.stack([s.rows_ns for s in stages]),
        window_tokens=pipeline.window_tokens,
        hop_ns=np.stack([hop_ns for _, hop_ns in pipeline.unlike]),
        decode_j=joules([s.decode_j for s in stages]),
        mixed_j=joules([s.mixed_j for s in stages]),
        rows_j=joules([s.rows_j for s in stages]),
        idle_w=replica_idle_w(shape),
        row=pipeline.row,
        **{f"{name}_fs": fs for name, fs in zip(READING, reading_fs, strict=True)},
        **{f"{name}_j": each for name, each in zip(READING, reading_j, strict=True)},
    )
