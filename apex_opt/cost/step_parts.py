"""What pipeline stages are made of: layers of each kind, embedding and head, by batch size.

Operators are computed on a grid of batch sizes, every one of them where graphs run, and a few
hundred beyond; in between costs are linear. Kernel times are convex in the batch where they
approach their roofline, so chords lie above it. Batches inside the CUDA-graph range are padded to
the next graph size, as the engine does.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from apex_opt.cost import collectives
from apex_opt.cost.attention import context_rates, decode_cost, prompt_cost
from apex_opt.cost.context import merge_cost
from apex_opt.cost.curves import Array
from apex_opt.cost.drawn import Drawn
from apex_opt.cost.layers import elementwise, gemm, layer_cost
from apex_opt.cost.operators import ACTIVATION_BYTES, Gemm, Layer, layer
from apex_opt.cost.rates import Cost, Rates, nothing
from apex_opt.cost.shape import Shape
from apex_opt.sim.steps import Int64

GRID = ((1, 256), (8, 1024), (64, 8192), (512, 1 << 30))
"""(step, up to): batch sizes that are computed; graph sizes up to 1,024 are among them."""

READING = (
    "context",
    "window",
    "pair",
    "window_pair",
    "history",
    "mixed_context",
    "mixed_window",
)
"""What a step reads, in the order of `Kind.reading`."""

KEPT = 32
"""Parts that are remembered, a megabyte each: pipelines of all depths share them."""


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
class Kind:
    """Costs of one kind of layer, on one device.

    Attributes:
        tokens: by tokens of a step.
        prompts: likewise, in a step with prompts beside that.
        sequences: by sampled rows.
        reading: by token or pair, each of `READING`.
    """

    tokens: Cost
    prompts: Cost
    sequences: Cost
    reading: Cost


@dataclass(frozen=True)
class Parts:
    """What stages at one place are made of, however many layers each has; costs of one device.

    Attributes:
        tokens: (n,) the batch sizes of a step table, from 0.
        embedding: by tokens of a step, with what the engine takes for it.
        head: by sampled rows.
        kinds: of the model's layers.
        window_tokens: the longest window of any of them; 1 where none has one.
    """

    tokens: Int64
    embedding: Cost
    head: Cost
    kinds: dict[str, Kind]
    window_tokens: int


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


@lru_cache(maxsize=KEPT)
def parts(drawn: Drawn) -> Parts:
    """Return what stages are made of where a replica stands in one pool."""
    shape, sizes = drawn.shape, _sizes(drawn.shape)
    rates, at = Rates(shape), sizes.at.astype(np.float64)
    layers = {name: layer(kind, shape) for name, kind in shape.model.layers.items()}
    windows = (one.attention.window for one in layers.values())
    return Parts(
        tokens=np.arange(len(sizes.run)),
        embedding=spread(embedding(rates, at), sizes.at, sizes.run),
        head=head(rates, sizes.rows),
        kinds={name: _kind(rates, one, sizes) for name, one in layers.items()},
        window_tokens=max((tokens for tokens in windows if tokens is not None), default=1),
    )


def _kind(rates: Rates, one: Layer, sizes: _Sizes) -> Kind:
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
    prompts = prompt_cost(rates, one.attention, at) * kernels
    reading = [getattr(contexts, name) for name in READING]
    return Kind(
        tokens=spread(tokens, sizes.at, sizes.run),
        prompts=spread(prompts, sizes.at, np.arange(len(sizes.run))),
        sequences=by_sequence + sequences,
        reading=Cost(
            np.concatenate([cost.seconds for cost in reading]),
            np.concatenate([cost.joules for cost in reading]),
        ),
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
