"""Operators of one layer on one device: matrix products, experts, attention, as shapes.

A layer is known by what it multiplies and what it reads: `layer(kind, shape)` returns the matrices
that a device holds after the split over the tensor group, the mixture of experts, and what
attention costs per cached token and per query-key pair. Memory (bytes of the matrices) and time
both follow from it, so the two can never disagree.

Attention-data-parallel ranks hold all but the routed experts for themselves; these are split over,
or spread over, the devices of all ranks (vLLM, `--data-parallel-size` with a mixture of experts).

Splits: column-parallel products divide their outputs by TP, row-parallel ones their inputs
(Megatron-LM, arXiv 1909.08053). Key-value heads are copied, not split, past their number. Latent
attention keeps its down-projections and its cache whole on every device (vLLM MLA). Copies of the
cache are spared where its tokens are spread (`apex_opt.cost.context`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

from apex_opt.cost.shape import Shape
from apex_opt.spec.engine import Scheduler
from apex_opt.spec.model import (
    DenseFfn,
    Ffn,
    LatentAttention,
    LayerKind,
    LinearAttention,
    MoeFfn,
    SoftmaxAttention,
)

ACTIVATION_BYTES = 2
"""Activations are 16 bits wide."""

SLICED_BY_BLOCK = frozenset({"mxfp4"})
"""Formats in which TP cuts experts between blocks of scales, so that the last slice may be short.

Source: vLLM vllm/model_executor/models/gpt_oss.py, `_load_weights_mxfp4`.
"""

SPARSE_HEADS = 64
"""Heads that kernels of sparse latent attention compute at least.

Each query picks other tokens, so that keys and values cannot be expanded for all of them: prompts
are attended to in the absorbed form too. Source: FlashMLA's sparse kernel takes 64 heads or a
multiple (vLLM and SGLang pad to it).
"""

ALL_SLOTS: frozenset[Scheduler] = frozenset({"vllm-v1"})
"""Schedulers whose engine lets a prompt's query compute all the tokens that it could choose, also
where fewer come before it: the others are masked.

Source: vLLM vllm/v1/attention/backends/mla/flashmla_sparse.py pads `topk_indices` with -1. SGLang
and TensorRT-LLM attend to short prompts without choosing (nsa_backend.py, `dense_mha`).
"""


@dataclass(frozen=True)
class Gemm:
    """A matrix product of n tokens: (n, k) x (k, n_out), as one device sees it."""

    k: int
    n: int
    quantized: Literal["linear", "experts", "none"] = "linear"

    @property
    def weights(self) -> int:
        """Elements of the matrix."""
        return self.k * self.n


@dataclass(frozen=True)
class Experts:
    """The routed experts of a layer, as one device sees them.

    Attributes:
        total, local: experts of the layer, and those that this device holds.
        ranks: devices over which whole experts are spread; 1: each is split over all devices.
        top_k: experts that a token visits.
        weights: elements of one expert on this device.
    """

    total: int
    local: int
    ranks: int
    top_k: int
    weights: int


@dataclass(frozen=True)
class Attention:
    """What attention costs on one device, per layer.

    Attributes:
        kind: whose kernels run, where the device was measured with them.
        heads: what a sequence's decoding is dealt out by: query heads of latent attention, value
            heads of linear, key-value heads of softmax attention.
        borrowed: no device was measured with its kernels; those of its kind time it.
        query_heads: query heads of this device.
        window: tokens that a query sees at most; None: all.
        kv_bytes: bytes of one cached token that a decoding query reads, and that it holds in
            memory; where tokens are spread over devices, its share of them.
        decode_flops: operations of a decoding query, per cached token. Where these are spread, it
            attends for all those devices to its share of them, which is as much.
        sparse: a query chooses the tokens of its window by an indexer.
        pair_flops: operations of prefill, per query-key pair.
        slots: tokens that a prompt's query computes, whatever it sees; 0: those that it sees.
        token_flops: operations on a recurrent state, per token.
        io_bytes: bytes of queries and outputs, per token.
        query_bytes, output_bytes: of what attends to cached tokens as they are, and of what comes
            of it, in the heads of this device, per token.
        expand_flops, expanded_bytes: of projecting a latent token up to keys and values of all
            heads, as prefill does.
        index_bytes, index_flops: of a sparse-attention indexer, per cached token, without window.
        state_bytes: bytes of recurrent state, per sequence.
        crosses: there is a second attention, to what the encoder has read. A token of it takes as
            much in memory, and as long to read, as one of the sequence.
    """

    kind: Literal["full", "window", "latent", "linear"] = "full"
    borrowed: bool = False
    heads: int = 1
    query_heads: int = 1
    window: int | None = None
    kv_bytes: float = 0.0
    decode_flops: float = 0.0
    sparse: bool = False
    pair_flops: float = 0.0
    slots: int = 0
    token_flops: float = 0.0
    io_bytes: float = 0.0
    query_bytes: float = 0.0
    output_bytes: float = 0.0
    expand_flops: float = 0.0
    expanded_bytes: float = 0.0
    index_bytes: float = 0.0
    index_flops: float = 0.0
    state_bytes: int = 0
    crosses: bool = False


@dataclass(frozen=True)
class Layer:
    """One layer on one device.

    Attributes:
        gemms: matrix products, in order.
        experts: routed experts, or none.
        attention: attention.
        elementwise_bytes: bytes that norms, rotary embedding, activation and residual move, per
            token.
        small_weights: elements of norms and biases, 16 bits each.
        all_reduces: all-reduces of (tokens, hidden) over the tensor group.
        cross: keys and values of what the encoder has read: a product of its tokens.
    """

    gemms: tuple[Gemm, ...]
    experts: Experts | None
    attention: Attention
    elementwise_bytes: int
    small_weights: int
    all_reduces: int
    cross: Gemm | None = None


def _softmax(a: SoftmaxAttention, hidden: int, shape: Shape) -> tuple[list[Gemm], Attention, int]:
    tp, value = shape.tensor, a.value_dim or a.head_dim
    heads, kv_heads = math.ceil(a.heads / tp), math.ceil(a.kv_heads / tp)
    queries = heads * a.head_dim * (2 if a.output_gate else 1)
    cached = kv_heads * (a.head_dim + value)
    keys = kv_heads * a.head_dim if a.shared_key_value else cached
    gemms = [Gemm(hidden, queries + keys), Gemm(heads * value, hidden)]
    bias = queries + keys if a.bias in {"qkv", "all"} else 0
    bias += hidden if a.bias == "all" else 0
    if a.cross:
        gemms += [Gemm(hidden, queries), Gemm(heads * value, hidden)]
        bias *= 2
    flops = 2.0 * heads * (a.head_dim + value)
    attention = Attention(
        kind="full" if a.window_tokens is None else "window",
        heads=kv_heads,
        query_heads=heads,
        window=a.window_tokens,
        kv_bytes=cached * shape.kv_cache.bytes_per_element / shape.context,
        decode_flops=flops,
        pair_flops=flops,
        io_bytes=float(ACTIVATION_BYTES * heads * (a.head_dim + value)),
        query_bytes=float(ACTIVATION_BYTES * heads * a.head_dim),
        output_bytes=float(ACTIVATION_BYTES * heads * value),
        crosses=a.cross,
    )
    return gemms, attention, bias


def _latent(a: LatentAttention, hidden: int, shape: Shape) -> tuple[list[Gemm], Attention, int]:
    heads = math.ceil(a.heads / shape.tensor)
    latent, query = a.kv_lora_rank + a.qk_rope_dim, a.qk_nope_dim + a.qk_rope_dim
    gemms = [
        *(
            [Gemm(hidden, a.q_lora_rank), Gemm(a.q_lora_rank, heads * query)]
            if a.q_lora_rank
            else [Gemm(hidden, heads * query)]
        ),
        Gemm(hidden, latent),
        Gemm(a.kv_lora_rank, heads * (a.qk_nope_dim + a.value_dim)),
        Gemm(heads * a.value_dim, hidden),
    ]
    index_heads, index_dim = a.index_heads or 0, a.index_dim or 0
    if index_heads:
        gemms += [Gemm(a.q_lora_rank or hidden, index_heads * index_dim), Gemm(hidden, index_dim)]
        gemms.append(Gemm(hidden, index_heads, "none"))
    # Absorbed form: each head scores the latent vector and sums it again.
    absorbed, outer = 2.0 * (latent + a.kv_lora_rank), heads * (query + a.value_dim)
    attention = Attention(
        kind="latent",
        heads=heads * shape.context,
        query_heads=heads,
        window=a.index_topk,
        kv_bytes=latent * shape.kv_cache.bytes_per_element / shape.context,
        decode_flops=heads * absorbed,
        pair_flops=max(heads, SPARSE_HEADS) * absorbed,
        io_bytes=float(ACTIVATION_BYTES * outer),
        query_bytes=float(ACTIVATION_BYTES * heads * latent),
        output_bytes=float(ACTIVATION_BYTES * heads * a.kv_lora_rank),
        index_bytes=float(index_dim),
        index_flops=2.0 * index_heads * index_dim,
    )
    if a.index_topk is not None:
        absorbed_bytes = attention.query_bytes + attention.output_bytes
        attention = replace(
            attention,
            sparse=True,
            slots=a.index_topk if shape.release.scheduler in ALL_SLOTS else 0,
            io_bytes=absorbed_bytes,
        )
    else:
        attention = replace(
            attention,
            pair_flops=2.0 * outer,
            expand_flops=2.0 * a.kv_lora_rank * heads * (a.qk_nope_dim + a.value_dim),
            expanded_bytes=float(ACTIVATION_BYTES * outer),
        )
    return gemms, attention, (a.q_lora_rank or 0) + a.kv_lora_rank


def _linear(a: LinearAttention, hidden: int, shape: Shape) -> tuple[list[Gemm], Attention, int]:
    key_heads = math.ceil(a.key_heads / shape.tensor)
    value_heads = math.ceil(a.value_heads / shape.tensor)
    keys, values = key_heads * a.key_dim, value_heads * a.value_dim
    gemms = [
        Gemm(hidden, 2 * keys + 2 * values),
        Gemm(hidden, (2 if a.update == "delta" else 1) * value_heads, "none"),
        Gemm(values, hidden),
    ]
    state = value_heads * a.key_dim * a.value_dim * a.state_bytes
    conv = (2 * keys + values) * (a.conv_kernel - 1) * ACTIVATION_BYTES
    attention = Attention(
        kind="linear",
        borrowed=a.update == "decay",
        heads=value_heads,
        # The state is read by key, corrected, read by query (delta rule, arXiv 2412.06464); added
        # to and read (state space, arXiv 2405.21060).
        token_flops=(6.0 if a.update == "delta" else 4.0) * value_heads * a.key_dim * a.value_dim,
        io_bytes=float(ACTIVATION_BYTES * (2 * keys + 3 * values)),
        state_bytes=state + conv,
    )
    taps, normed = (0, a.value_dim) if a.update == "delta" else (1, values)
    small = (2 * keys + values) * (a.conv_kernel + taps) + 3 * value_heads + normed
    return gemms, attention, small


def _ffn(f: Ffn, hidden: int, shape: Shape) -> tuple[list[Gemm], Experts | None, int]:
    tp = shape.tensor

    def dense(width: int, *, gated: bool) -> list[Gemm]:
        return [Gemm(hidden, width * (2 if gated else 1)), Gemm(width, hidden)]

    if isinstance(f, DenseFfn):
        gemms = dense(math.ceil(f.width / tp), gated=f.gated)
        return gemms, None, sum(g.n for g in gemms) if f.bias else 0
    gemms = [Gemm(hidden, f.experts, "none")]
    if f.shared_width:
        gemms += dense(math.ceil(f.shared_width / tp), gated=f.gated)
    if f.dense_width:
        gemms += dense(math.ceil(f.dense_width / tp), gated=f.gated)
    matrices = 3 if f.gated else 2
    spread = shape.expert > 1
    experts = Experts(
        total=f.experts,
        local=math.ceil(f.experts / shape.expert) if spread else f.experts,
        ranks=shape.expert if spread else 1,
        top_k=f.top_k,
        weights=matrices * hidden * _expert_width(f, shape),
    )
    biases = _expert_biases(f, hidden) // shape.stage_devices
    return gemms, experts, biases + (hidden if f.shared_gate else 0)


def _expert_width(f: MoeFfn, shape: Shape) -> int:
    """Return the width of one expert on the device that has most of it."""
    if shape.expert > 1:
        return f.width
    unit = (shape.weights.group or 1) if shape.weights.name in SLICED_BY_BLOCK else 1
    return math.ceil(f.width / (shape.stage_devices * unit)) * unit


def _expert_biases(f: MoeFfn, hidden: int) -> int:
    return f.experts * (f.width * (2 if f.gated else 1) + hidden) if f.bias else 0


def layer(kind: LayerKind, shape: Shape) -> Layer:
    """Return a layer of this kind as one device of `shape` sees it."""
    hidden = shape.model.hidden_size
    a = kind.attention
    if isinstance(a, SoftmaxAttention):
        gemms, attention, small = _softmax(a, hidden, shape)
    elif isinstance(a, LatentAttention):
        gemms, attention, small = _latent(a, hidden, shape)
    else:
        gemms, attention, small = _linear(a, hidden, shape)
    ffn, experts, biases = _ffn(kind.ffn, hidden, shape)
    inner = sum(g.n for g in ffn) - hidden
    crosses = attention.crosses
    # Two norms and two residual sums read and write the hidden vector, three with cross-attention;
    # the activation reads its inputs; rotary embedding passes over the queries.
    passes = 12 if crosses else 8
    elementwise = ACTIVATION_BYTES * (passes * hidden + 2 * max(inner, 0))
    elementwise += round(attention.io_bytes)
    return Layer(
        gemms=(*gemms, *ffn),
        experts=experts,
        attention=attention,
        elementwise_bytes=elementwise,
        small_weights=small + biases + kind.norms * hidden * (2 if kind.norm_bias else 1),
        all_reduces=(3 if crosses else 2) if shape.tensor > 1 else 0,
        cross=_cross(a, hidden, shape) if isinstance(a, SoftmaxAttention) and a.cross else None,
    )


def _cross(a: SoftmaxAttention, hidden: int, shape: Shape) -> Gemm:
    """Return the product that makes keys and values of what the encoder has read."""
    return Gemm(
        hidden, math.ceil(a.kv_heads / shape.tensor) * (a.head_dim + (a.value_dim or a.head_dim))
    )
