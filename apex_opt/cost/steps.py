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
    """Costs of one pipeline stage, one device."""

    decode: Cost
    mixed: Cost
    rows: Cost
    contexts: ContextRates
    hop: Array


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
    return _Kind(
        tokens=layer_cost(rates, one, at),
        prompts=prompt_cost(rates, one.attention, at),
        sequences=by_sequence + decode_cost(rates, one.attention, sizes.rows),
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
    """Return LM head, gathering of logits and per-sequence overhead of the last stage."""
    shape, model = rates.shape, rates.shape.model
    vocab = -(-model.vocab_size // 64) * 64  # padded to 64 (vLLM DEFAULT_VOCAB_PADDING_SIZE)
    product = gemm(rates, Gemm(model.hidden_size, -(-vocab // shape.tensor), "none"), rows)
    gathered = collectives.all_gather(shape, ACTIVATION_BYTES * rows * vocab)
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


def _stage(
    whole: Shape, rates: Rates, stage: int, counts: dict[str, int], kinds: Kinds, sizes: _Sizes
) -> _Stage:
    shape, settings = rates.shape, rates.shape.settings
    base, prompts = nothing(len(sizes.at)), nothing(len(sizes.at))
    if stage == 0:
        base = embedding(rates, sizes.at.astype(np.float64))
    sampled = nothing(len(sizes.rows))
    for name, count in counts.items():
        base = base + kinds[name].tokens * count
        prompts = prompts + kinds[name].prompts * count
        sampled = sampled + kinds[name].sequences * count
    last = stage == shape.pipeline - 1
    if last:
        sampled = sampled + head(rates, sizes.rows)
    tokens = np.arange(len(sizes.run))
    none = np.zeros(len(tokens))
    decode = spread(base, sizes.at, sizes.run)
    mixed = decode + spread(prompts, sizes.at, tokens)
    eager_s = shape.release.overheads.eager_layer_us * 1e-6 * sum(counts.values())
    eager = np.where(tokens > 0, eager_s, 0.0)
    size = ACTIVATION_BYTES * tokens.astype(np.float64) * shape.model.hidden_size
    return _Stage(
        decode=decode + Cost(np.where(tokens > settings.graph_tokens, eager, 0.0), none),
        mixed=mixed + Cost(eager, none),
        rows=sampled,
        contexts=_contexts([(kinds[name].contexts, count) for name, count in counts.items()]),
        hop=none if last else collectives.stage_hop(whole, stage, size),
    )


def _ceil(seconds: list[Array], unit: float) -> Int64:
    """Return times as integers, rounded up so that no step beats its floor."""
    return np.ascontiguousarray(np.ceil(np.stack(seconds) * unit), dtype=np.int64)


def step_table(shape: Shape) -> StepTable:
    """Return the step-time table of a replica.

    Raises:
        ValueError: the device cannot compute in the shape's weight format.
    """
    sizes = _sizes(shape)
    layers = {name: layer(kind, shape) for name, kind in shape.model.layers.items()}
    known: dict[tuple[str, float], tuple[Rates, Kinds]] = {}
    stages = []
    for stage, counts in enumerate(shape.stage_counts()):
        own = shape.at(stage)
        if (own.pool.name, own.clock) not in known:
            rates = Rates(own)
            kinds = {name: _kind(rates, one, sizes) for name, one in layers.items()}
            known[own.pool.name, own.clock] = rates, kinds
        rates, kinds = known[own.pool.name, own.clock]
        stages.append(_stage(shape, rates, stage, counts, kinds, sizes))
    windows = [k.attention.window for k in layers.values() if k.attention.window is not None]

    def times(name: str) -> Int64:
        costs = [getattr(s.contexts, name).seconds for s in stages]
        return _ceil(costs, FS)[:, 0].copy()

    def joule(name: str) -> float:
        return float(sum(getattr(s.contexts, name).joules[0] for s in stages)) * shape.tensor

    def joules(costs: list[Cost]) -> Array:
        return np.ascontiguousarray(np.sum([c.joules for c in costs], axis=0) * shape.tensor)

    return StepTable(
        decode_ns=_ceil([s.decode.seconds for s in stages], NS),
        mixed_ns=_ceil([s.mixed.seconds for s in stages], NS),
        rows_ns=_ceil([s.rows.seconds for s in stages], NS),
        context_fs=times("context"),
        window_fs=times("window"),
        window_tokens=max(windows, default=1),
        pair_fs=times("pair"),
        window_pair_fs=times("window_pair"),
        hop_ns=_ceil([s.hop for s in stages], NS),
        decode_j=joules([s.decode for s in stages]),
        mixed_j=joules([s.mixed for s in stages]),
        rows_j=joules([s.rows for s in stages]),
        context_j=joule("context"),
        window_j=joule("window"),
        pair_j=joule("pair"),
        window_pair_j=joule("window_pair"),
        history_fs=times("history"),
        history_j=joule("history"),
        mixed_context_fs=times("mixed_context"),
        mixed_window_fs=times("mixed_window"),
        mixed_context_j=joule("mixed_context"),
        mixed_window_j=joule("mixed_window"),
        idle_w=replica_idle_w(shape),
    )
