"""The step-time table of a replica: what the simulator reads, built from its operators.

For every batch size from 0 to the token budget, on every pipeline stage: layers + embedding (first
stage) + engine overhead; for every number of sampled rows: the LM head (last stage). Batches inside
the CUDA-graph range are padded to the next graph size, as the engine does.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from apex_opt.cost import collectives
from apex_opt.cost.layers import context_rates, elementwise, gemm, layer_cost
from apex_opt.cost.operators import ACTIVATION_BYTES, Gemm, Layer, layer
from apex_opt.cost.rates import Array, Cost, Rates, nothing
from apex_opt.cost.shape import Shape
from apex_opt.sim.steps import Int64, StepTable

NS = 1e9
FS = 1e15


def padded(tokens: Int64, graph_tokens: int) -> Int64:
    """Return batch sizes padded to vLLM's graph sizes: 1, 2, 4, 8 by 8 to 256, then by 16.

    `graph_tokens` is one of those sizes; past it nothing is padded. Source: see
    `apex_opt.cost.shape.graph_tokens`.
    """
    small = np.array([0, 1, 2, 4, 4, 8, 8, 8, 8])
    by_8, by_16 = -(-tokens // 8) * 8, -(-tokens // 16) * 16
    sizes = np.where(tokens <= 8, small[np.minimum(tokens, 8)], np.where(by_8 <= 256, by_8, by_16))
    return np.where(tokens <= graph_tokens, sizes, tokens)


@dataclass(frozen=True)
class _Stage:
    """Costs of one pipeline stage, one device."""

    decode: Cost
    mixed: Cost
    rows: Cost
    context: Cost
    window: Cost
    pair: Cost
    window_pair: Cost
    hop: Array


def _extras(rates: Rates, stage: int, tokens: Array) -> Cost:
    """Return embedding and engine step overhead, which stand on the first stage."""
    total = nothing(len(tokens))
    if stage > 0:
        return total
    shape, hidden = rates.shape, rates.shape.model.hidden_size
    size = ACTIVATION_BYTES * tokens * hidden
    total = total + elementwise(rates, 2.0 * ACTIVATION_BYTES * hidden, tokens)
    total = total + rates.communication(collectives.all_reduce(shape, size))
    step = np.where(tokens > 0, shape.release.overheads.step_us * 1e-6, 0.0)
    return total + Cost(step, np.zeros_like(step))


def _head(rates: Rates, rows: Array) -> Cost:
    """Return LM head, gathering of logits and per-sequence overhead of the last stage."""
    shape, model = rates.shape, rates.shape.model
    vocab = -(-model.vocab_size // 64) * 64  # padded to 64 (vLLM DEFAULT_VOCAB_PADDING_SIZE)
    head = gemm(rates, Gemm(model.hidden_size, -(-vocab // shape.tensor), "none"), rows)
    gathered = collectives.all_gather(shape, ACTIVATION_BYTES * rows * vocab)
    overhead = rows * shape.release.overheads.sequence_us * 1e-6
    return head + rates.communication(gathered) + Cost(overhead, np.zeros_like(overhead))


def _stage(rates: Rates, stage: int, counts: dict[str, int], kinds: dict[str, Layer]) -> _Stage:
    shape, settings = rates.shape, rates.shape.settings
    tokens = np.arange(settings.max_num_batched_tokens + 1)
    run = padded(tokens, settings.graph_tokens).astype(np.float64)
    rows = np.arange(settings.max_num_seqs + 1).astype(np.float64)
    base, head = _extras(rates, stage, run), nothing(len(rows))
    context, window, pair, window_pair = nothing(1), nothing(1), nothing(1), nothing(1)
    for kind, count in counts.items():
        base = base + layer_cost(rates, kinds[kind], run) * count
        attention = context_rates(rates, kinds[kind].attention)
        context, window = context + attention.context * count, window + attention.window * count
        pair = pair + attention.pair * count
        window_pair = window_pair + attention.window_pair * count
        head = head + Cost(
            attention.state.seconds * count * rows, attention.state.joules * count * rows
        )
    if stage == shape.pipeline - 1:
        head = head + _head(rates, rows)
    eager_s = shape.release.overheads.eager_layer_us * 1e-6 * sum(counts.values())
    eager = Cost(np.where(tokens > 0, eager_s, 0.0), np.zeros(len(tokens)))
    beyond = np.where(tokens > settings.graph_tokens, eager.seconds, 0.0)
    size = ACTIVATION_BYTES * tokens.astype(np.float64) * shape.model.hidden_size
    last = stage == shape.pipeline - 1
    hop = np.zeros(len(tokens)) if last else collectives.stage_hop(shape, stage, size)
    decode = base + Cost(beyond, np.zeros(len(tokens)))
    return _Stage(decode, base + eager, head, context, window, pair, window_pair, hop)


def _ceil(seconds: list[Array], unit: float) -> Int64:
    """Return times as integers, rounded up so that no step beats its floor."""
    return np.ascontiguousarray(np.ceil(np.stack(seconds) * unit), dtype=np.int64)


def step_table(shape: Shape) -> StepTable:
    """Return the step-time table of a replica.

    Raises:
        ValueError: the device cannot compute in the shape's weight format.
    """
    rates = Rates(shape)
    kinds = {name: layer(kind, shape) for name, kind in shape.model.layers.items()}
    stages = [_stage(rates, s, counts, kinds) for s, counts in enumerate(shape.stage_counts())]
    windows = [k.attention.window for k in kinds.values() if k.attention.window is not None]

    def scalar(costs: list[Cost]) -> float:
        return float(sum(c.joules[0] for c in costs)) * shape.tensor

    def joules(costs: list[Cost]) -> Array:
        return np.ascontiguousarray(np.sum([c.joules for c in costs], axis=0) * shape.tensor)

    return StepTable(
        decode_ns=_ceil([s.decode.seconds for s in stages], NS),
        mixed_ns=_ceil([s.mixed.seconds for s in stages], NS),
        rows_ns=_ceil([s.rows.seconds for s in stages], NS),
        context_fs=_ceil([s.context.seconds for s in stages], FS)[:, 0].copy(),
        window_fs=_ceil([s.window.seconds for s in stages], FS)[:, 0].copy(),
        window_tokens=max(windows, default=1),
        pair_fs=_ceil([s.pair.seconds for s in stages], FS)[:, 0].copy(),
        window_pair_fs=_ceil([s.window_pair.seconds for s in stages], FS)[:, 0].copy(),
        hop_ns=_ceil([s.hop for s in stages], NS),
        decode_j=joules([s.decode for s in stages]),
        mixed_j=joules([s.mixed for s in stages]),
        rows_j=joules([s.rows for s in stages]),
        context_j=scalar([s.context for s in stages]),
        window_j=scalar([s.window for s in stages]),
        pair_j=scalar([s.pair for s in stages]),
        window_pair_j=scalar([s.window_pair for s in stages]),
        idle_w=rates.idle_w * shape.devices,
    )
