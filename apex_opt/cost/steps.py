"""The step-time table of a replica: what the simulator reads, built from its operators.

For every batch size from 0 to the token budget, on every pipeline stage: layers + embedding (first
stage) + engine overhead; for every number of sampled rows: what decode attention costs by sequence,
and the LM head (last stage). Batches inside the CUDA-graph range are padded to the next graph size,
as the engine does.

Operators are computed on a grid of batch sizes, every one of them where graphs run, and a few
hundred beyond; in between the table is linear. Kernel times are convex in the batch where they
approach their roofline, so chords lie above it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from apex_opt.cost import collectives
from apex_opt.cost.attention import ContextRates, context_rates, decode_cost, prompt_cost
from apex_opt.cost.context import merge_cost
from apex_opt.cost.curves import Array
from apex_opt.cost.layers import elementwise, gemm, layer_cost
from apex_opt.cost.operators import ACTIVATION_BYTES, Gemm, Layer, layer
from apex_opt.cost.rates import Cost, Rates, nothing, replica_idle_w
from apex_opt.cost.shape import Shape
from apex_opt.sim.steps import Int64, StepTable

NS = 1e9
FS = 1e15
GRID = ((1, 256), (8, 1024), (64, 8192), (512, 1 << 30))
"""(step, up to): batch sizes that are computed; graph sizes up to 1,024 are among them."""

PROMPTS_IN_GRAPHS = frozenset({"vllm-v1"})
"""Schedulers whose steps with prompts run in CUDA graphs, but for attention, where they are small:
vLLM V1 captures them in pieces (vllm/config/compilation.py, `cudagraph_mode`). Elsewhere graphs are
for decoding alone: vLLM V0 (vllm/worker/model_runner.py), SGLang (srt/model_executor/
cuda_graph_runner.py `can_run`), TensorRT-LLM (documentation, `cuda_graph_config`).
"""


def padded(tokens: Int64, graph_tokens: int) -> Int64:
    """Return batch sizes padded to vLLM's graph sizes: 1, 2, 4, 8 by 8 to 256, then by 16.

    `graph_tokens` is one of those sizes; past it nothing is padded. Source: see
    `apex_opt.cost.shape.graph_tokens`.
    """
    small = np.array([0, 1, 2, 4, 4, 8, 8, 8, 8])
    by_8, by_16 = -(-tokens // 8) * 8, -(-tokens // 16) * 16
    sizes = np.where(tokens <= 8, small[np.minimum(tokens, 8)], np.where(by_8 <= 256, by_8, by_16))
    return np.where(tokens <= graph_tokens, sizes, tokens)


def grid(most: int, also: int) -> Int64:
    """Return the batch sizes that are computed: 0 to `most`, both ends and `also` among them."""
    parts, start = [np.array([0, also, most], np.int64)], 0
    for step, end in GRID:
        end = min(end, most)
        parts.append(np.arange(start, end + 1, step, dtype=np.int64))
        start = end
    return np.unique(np.concatenate(parts))


def spread(cost: Cost, at: Int64, sizes: Int64) -> Cost:
    """Return a cost known `at` some batch sizes for all `sizes`, linear in between."""
    return Cost(np.interp(sizes, at, cost.seconds), np.interp(sizes, at, cost.joules))


SAMPLING_BYTES = 10.0
"""Bytes that the choice of a token moves for each logit, on every device of the last stage: it is
read in 16 bits, written in 32, and read for the greatest one.

Source: vLLM vllm/v1/sample/sampler.py, `forward` and `greedy_sample`. Temperature, softmax and
noise move 32 more, top-p sorts; requests do not say whether they ask for these.
"""


@dataclass(frozen=True)
class _Kind:
    """Costs of one kind of layer, on one device."""

    tokens: Cost
    prompts: Cost
    sequences: Cost
    contexts: ContextRates


Kinds = dict[str, _Kind]


@dataclass(frozen=True)
class _Stage:
    """Costs of one pipeline stage, one device; times as the table has them."""

    decode_ns: Int64
    mixed_ns: Int64
    rows_ns: Int64
    decode_j: Array
    mixed_j: Array
    rows_j: Array
    contexts: ContextRates


@dataclass(frozen=True)
class _Sizes:
    """Batch sizes: computed ones, those that run for each batch of the table, sampled rows."""

    at: Int64
    run: Int64
    rows: Array


def _sizes(shape: Shape) -> _Sizes:
    settings = shape.settings
    most = settings.max_num_batched_tokens
    run = padded(np.arange(most + 1), settings.graph_tokens)
    rows = np.arange(settings.max_num_seqs + 1).astype(np.float64)
    return _Sizes(grid(int(run.max()), settings.graph_tokens), run, rows)


def _kind(rates: Rates, one: Layer, sizes: _Sizes) -> _Kind:
    contexts, at = context_rates(rates, one.attention), sizes.at.astype(np.float64)
    state, none = contexts.state, np.zeros_like(sizes.rows)
    by_sequence = Cost(state.seconds * sizes.rows + none, state.joules * sizes.rows + none)
    kernels = 2 if one.attention.crosses else 1
    tokens = layer_cost(rates, one, at)
    sequences = decode_cost(rates, one.attention, sizes.rows) * kernels
    if one.attention.kind == "latent":
        sequences = sequences + merge_cost(rates, one.attention, sizes.rows)
    else:
        tokens = tokens + merge_cost(rates, one.attention, at)
    return _Kind(
        tokens=tokens,
        prompts=prompt_cost(rates, one.attention, at) * kernels,
        sequences=by_sequence + sequences,
        contexts=contexts,
    )


def embedding(rates: Rates, tokens: Array) -> Cost:
    """Return embedding and engine step overhead, which stand on the first stage."""
    total = nothing(len(tokens))
    shape, hidden = rates.shape, rates.shape.model.hidden_size
    size = ACTIVATION_BYTES * tokens * hidden
    total = total + elementwise(rates, 2.0 * ACTIVATION_BYTES * hidden, tokens)
    total = total + rates.communication(collectives.all_reduce(shape, size))
    step = np.where(tokens > 0, shape.release.overheads.step_us * 1e-6, 0.0)
    return total + Cost(step, np.zeros_like(step))


def head(rates: Rates, rows: Array) -> Cost:
    """Return LM head, gathering and sampling of logits, per-sequence overhead of the last stage."""
    shape, model = rates.shape, rates.shape.model
    vocab = -(-model.vocab_size // 64) * 64  # padded to 64 (vLLM DEFAULT_VOCAB_PADDING_SIZE)
    product = gemm(rates, Gemm(model.hidden_size, -(-vocab // shape.tensor), "none"), rows)
    gathered = collectives.all_gather(shape, ACTIVATION_BYTES * rows * vocab)
    product = product + elementwise(rates, SAMPLING_BYTES * model.vocab_size, rows)
    overhead = rows * shape.release.overheads.sequence_us * 1e-6
    return product + rates.communication(gathered) + Cost(overhead, np.zeros_like(overhead))


def _contexts(parts: list[tuple[ContextRates, int]]) -> ContextRates:
    """Return the rates of some layers together."""

    def total(name: str) -> Cost:
        whole = nothing(1)
        for rates, count in parts:
            whole = whole + getattr(rates, name) * count
        return whole

    return ContextRates(**{name: total(name) for name in ContextRates.__dataclass_fields__})


def _at_least(cost: Cost, seconds: Array) -> Cost:
    """Return a cost whose devices wait for the host where it needs longer."""
    return Cost(np.maximum(cost.seconds, seconds), cost.joules)


def _stage(rates: Rates, stage: int, counts: dict[str, int], kinds: Kinds, sizes: _Sizes) -> _Stage:
    shape, settings = rates.shape, rates.shape.settings
    base, prompts = nothing(len(sizes.at)), nothing(len(sizes.at))
    if stage == 0:
        base = embedding(rates, sizes.at.astype(np.float64))
    sampled = nothing(len(sizes.rows))
    for name, count in counts.items():
        base = base + kinds[name].tokens * count
        prompts = prompts + kinds[name].prompts * count
        sampled = sampled + kinds[name].sequences * count
    if stage == shape.pipeline - 1:
        sampled = sampled + head(rates, sizes.rows)
    tokens = np.arange(len(sizes.run))
    none = np.zeros(len(tokens))
    decode = spread(base, sizes.at, sizes.run)
    mixed = decode + spread(prompts, sizes.at, tokens)
    layers, own = sum(counts.values()), shape.release.overheads
    eager = np.where(tokens > 0, own.eager_layer_us * 1e-6 * layers, 0.0)
    captured = tokens <= settings.graph_tokens
    prompts_captured = captured & (shape.release.scheduler in PROMPTS_IN_GRAPHS)
    launch_s = own.host_layer_us * 1e-6 * layers * (tokens > 0)
    decode = decode + Cost(np.where(captured, 0.0, eager), none)
    decode = _at_least(decode, np.where(captured, 0.0, launch_s))
    mixed = _at_least(mixed + Cost(eager, none), np.where(prompts_captured, 0.0, launch_s))
    return _Stage(
        decode_ns=_ceil(decode.seconds, NS),
        mixed_ns=_ceil(mixed.seconds, NS),
        rows_ns=_ceil(sampled.seconds, NS),
        decode_j=decode.joules,
        mixed_j=mixed.joules,
        rows_j=sampled.joules,
        contexts=_contexts([(kinds[name].contexts, count) for name, count in counts.items()]),
    )


@dataclass(frozen=True)
class _Pipeline:
    """The stages that differ, of which a pipeline has few.

    Attributes:
        unlike: each with what sending activations onward takes.
        row: (stages,) which of them each stage is.
    """

    unlike: list[tuple[_Stage, Int64]]
    row: Int64


def _pipeline(shape: Shape, sizes: _Sizes) -> _Pipeline:
    """Return the stages of a replica; equal ones are computed once."""
    layers = {name: layer(kind, shape) for name, kind in shape.model.layers.items()}
    places: dict[object, tuple[Rates, Kinds]] = {}
    known: dict[object, _Stage] = {}
    unlike: dict[object, tuple[_Stage, Int64]] = {}
    row: list[int] = []
    for stage, counts in enumerate(shape.stage_counts()):
        own = shape.at(stage)
        place = (own.pool.name, own.clock)
        if place not in places:
            rates = Rates(own)
            places[place] = rates, {k: _kind(rates, one, sizes) for k, one in layers.items()}
        rates, kinds = places[place]
        last = stage == shape.pipeline - 1
        own_work = (place, stage == 0, last, tuple(counts.items()))
        if own_work not in known:
            known[own_work] = _stage(rates, stage, counts, kinds, sizes)
        onward = None if last else (shape.at(stage + 1).pool.name, collectives.near(shape, stage))
        if (own_work, onward) not in unlike:
            unlike[own_work, onward] = known[own_work], _hop_ns(shape, stage, sizes)
        row.append(list(unlike).index((own_work, onward)))
    return _Pipeline(list(unlike.values()), np.array(row, np.int64))


def _hop_ns(shape: Shape, stage: int, sizes: _Sizes) -> Int64:
    """Return what sending activations to the next stage takes, by tokens; nothing for the last."""
    tokens = np.arange(len(sizes.run), dtype=np.float64)
    if stage == shape.pipeline - 1:
        return np.zeros(len(tokens), np.int64)
    size = ACTIVATION_BYTES * tokens * shape.model.hidden_size
    return _ceil(collectives.stage_hop(shape, stage, size), NS)


def _ceil(seconds: Array, unit: float) -> Int64:
    """Return times as integers, rounded up so that no step beats its floor."""
    return np.ascontiguousarray(np.ceil(seconds * unit), dtype=np.int64)


def step_table(shape: Shape) -> StepTable:
    """Return the step-time table of a replica.

    Raises:
        ValueError: the device cannot compute in the shape's weight format.
    """
    sizes = _sizes(shape)
    pipeline = _pipeline(shape, sizes)
    stages, times = [stage for stage, _ in pipeline.unlike], np.bincount(pipeline.row).tolist()
    layers = (layer(kind, shape) for kind in shape.model.layers.values())
    windows = [one.attention.window for one in layers if one.attention.window is not None]

    def rates(name: str) -> Int64:
        return _ceil(np.array([getattr(s.contexts, name).seconds[0] for s in stages]), FS)

    def joule(name: str) -> float:
        return float(joules([getattr(s.contexts, name).joules for s in stages])[0])

    def joules(each: list[Array]) -> Array:
        over_stages = sum(n * one for n, one in zip(times, each, strict=True))
        return np.ascontiguousarray(over_stages * shape.tensor)

    return StepTable(
        decode_ns=np.stack([s.decode_ns for s in stages]),
        mixed_ns=np.stack([s.mixed_ns for s in stages]),
        rows_ns=np.stack([s.rows_ns for s in stages]),
        context_fs=rates("context"),
        window_fs=rates("window"),
        window_tokens=max(windows, default=1),
        pair_fs=rates("pair"),
        window_pair_fs=rates("window_pair"),
        hop_ns=np.stack([hop_ns for _, hop_ns in pipeline.unlike]),
        decode_j=joules([s.decode_j for s in stages]),
        mixed_j=joules([s.mixed_j for s in stages]),
        rows_j=joules([s.rows_j for s in stages]),
        context_j=joule("context"),
        window_j=joule("window"),
        pair_j=joule("pair"),
        window_pair_j=joule("window_pair"),
        history_fs=rates("history"),
        history_j=joule("history"),
        mixed_context_fs=rates("mixed_context"),
        mixed_window_fs=rates("mixed_window"),
        mixed_context_j=joule("mixed_context"),
        mixed_window_j=joule("mixed_window"),
        idle_w=replica_idle_w(shape),
        row=pipeline.row,
    )
