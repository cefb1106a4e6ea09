"""How many parameters a model has, and in which parts: exact counts from its layers.

A part is either *linear* (a matrix that a token is multiplied with: it can be quantised, and costs
two operations a parameter) or *other* (norms, biases, convolutions: 16 bits, and no product to
speak of).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from apex_opt.spec.model import (
    Attention,
    DenseFfn,
    LatentAttention,
    LayerKind,
    LinearAttention,
    Model,
    MoeFfn,
    Repeat,
    SoftmaxAttention,
    Vision,
)


@dataclass(frozen=True)
class KindParameters:
    """Parameters of one layer of a kind.

    Attributes:
        attention: linear, queries, keys, values and output, of cross-attention too.
        dense_ffn: linear, the feed-forward layer that every token passes.
        expert: linear, one routed expert.
        experts: linear, all routed experts.
        active_experts: linear, the routed experts that one token visits.
        shared: linear, shared experts and their gate.
        router: linear, the matrix that scores the experts.
        other: norms, biases, sinks, convolutions.
    """

    attention: int
    dense_ffn: int
    expert: int
    experts: int
    active_experts: int
    shared: int
    router: int
    other: int

    @property
    def total(self) -> int:
        """All parameters of the layer."""
        return self.active - self.active_experts + self.experts

    @property
    def active(self) -> int:
        """Parameters of the layer that one token uses."""
        return (
            self.attention
            + self.dense_ffn
            + self.active_experts
            + self.shared
            + self.router
            + self.other
        )


@dataclass(frozen=True)
class Parameters:
    """Parameters of a model.

    Attributes:
        kinds, encoder_kinds: one layer of each kind.
        embedding: the token embedding.
        head: the LM head; 0 where it is the embedding.
        extra: positions, final norms, convolutions of an encoder.
        vision: the encoder of images, and what leads from it to the model.
        total: all of them.
        active: the total less the routed experts that a token does not visit, and less what only
            images pass. Embedding and head count whole, so that a dense model's active parameters
            are its total.
    """

    kinds: Mapping[str, KindParameters]
    encoder_kinds: Mapping[str, KindParameters]
    embedding: int
    head: int
    extra: int
    vision: int
    total: int
    active: int


def parameters(model: Model) -> Parameters:
    """Return the parameters of `model`; multi-token-prediction layers are not part of a model."""
    encoder = model.encoder
    kinds = _kinds(model.layers, model.hidden_size)
    encoder_kinds = _kinds(encoder.layers, model.hidden_size) if encoder else {}
    embedding = model.vocab_size * model.hidden_size
    head = 0 if model.tied_embeddings else embedding
    extra = round(model.extra_parameters + (encoder.extra_parameters if encoder else 0))
    layers = [kinds[name] for name in model.sequence()]
    layers += [encoder_kinds[name] for name in _sequence(encoder.pattern if encoder else ())]
    outside, vision = embedding + head + extra, vision_parameters(model.vision)
    return Parameters(
        kinds=kinds,
        encoder_kinds=encoder_kinds,
        embedding=embedding,
        head=head,
        extra=extra,
        vision=vision,
        total=outside + vision + sum(layer.total for layer in layers),
        active=outside + sum(layer.active for layer in layers),
    )


def vision_layer(vision: Vision) -> LayerKind:
    """Return a layer of the encoder of images: attention over all patches, two norms."""
    heads, hidden, bias = vision.heads, vision.hidden_size, vision.bias
    return LayerKind(
        attention=SoftmaxAttention(
            kind="softmax",
            heads=heads,
            kv_heads=heads,
            head_dim=hidden // heads,
            bias="all" if bias else "none",
        ),
        ffn=DenseFfn(kind="dense", width=vision.width, gated=vision.gated, bias=bias),
        norm_bias=bias,
    )


def vision_parameters(vision: Vision | None) -> int:
    """Return the parameters of the encoder of images; 0 where there is none."""
    if vision is None:
        return 0
    layer = kind_parameters(vision_layer(vision), vision.hidden_size)
    return vision.layers * layer.total + round(
        vision.projector_parameters + vision.extra_parameters
    )


def kind_parameters(kind: LayerKind, hidden: int) -> KindParameters:
    """Return the parameters of one layer of `kind` in a model of width `hidden`."""
    attention, small = _attention(kind.attention, hidden)
    norms = kind.norms * hidden * (2 if kind.norm_bias else 1)
    if isinstance(kind.ffn, DenseFfn):
        return _with_dense(kind.ffn, hidden, attention, small + norms)
    return _with_experts(kind.ffn, hidden, attention, small + norms)


def _kinds(layers: Mapping[str, LayerKind], hidden: int) -> dict[str, KindParameters]:
    return {name: kind_parameters(kind, hidden) for name, kind in layers.items()}


def _sequence(pattern: Iterable[Repeat]) -> list[str]:
    return [name for run in pattern for name in run.layers * run.repeat]


def _with_dense(ffn: DenseFfn, hidden: int, attention: int, other: int) -> KindParameters:
    inner = ffn.width * (2 if ffn.gated else 1)
    bias = inner + hidden if ffn.bias else 0
    return KindParameters(
        attention=attention,
        dense_ffn=_ffn(hidden, ffn.width, ffn.gated),
        expert=0,
        experts=0,
        active_experts=0,
        shared=0,
        router=0,
        other=other + bias,
    )


def _with_experts(ffn: MoeFfn, hidden: int, attention: int, other: int) -> KindParameters:
    expert = _ffn(hidden, ffn.width, ffn.gated)
    inner = ffn.width * (2 if ffn.gated else 1)
    bias = ffn.experts * (inner + hidden + 1) if ffn.bias else 0
    return KindParameters(
        attention=attention,
        dense_ffn=_ffn(hidden, ffn.dense_width, ffn.gated),
        expert=expert,
        experts=ffn.experts * expert,
        active_experts=ffn.top_k * expert,
        shared=_ffn(hidden, ffn.shared_width, ffn.gated) + (hidden if ffn.shared_gate else 0),
        router=ffn.experts * hidden,
        other=other + bias + (ffn.experts if ffn.score_bias else 0),
    )


def _ffn(hidden: int, width: int, gated: bool) -> int:
    return hidden * width * (3 if gated else 2)


def _attention(a: Attention, hidden: int) -> tuple[int, int]:
    """Return the linear and the other parameters of an attention."""
    if isinstance(a, SoftmaxAttention):
        return _softmax(a, hidden)
    if isinstance(a, LatentAttention):
        return _latent(a, hidden)
    return _linear(a, hidden)


def _softmax(a: SoftmaxAttention, hidden: int) -> tuple[int, int]:
    queries, keys = a.heads * a.head_dim, a.kv_heads * a.head_dim
    value_dim = a.value_dim or a.head_dim
    values = 0 if a.shared_key_value else a.kv_heads * value_dim
    projected = queries * (2 if a.output_gate else 1) + keys + values
    linear = hidden * (projected + a.heads * value_dim)
    bias = {"none": 0, "qkv": projected, "all": projected + hidden}[a.bias]
    norms = {"none": 0, "head": 2 * a.head_dim, "full": queries + keys}[a.qk_norm]
    times = 2 if a.cross else 1
    return times * linear, times * (bias + norms) + (a.heads if a.sinks else 0)


def _latent(a: LatentAttention, hidden: int) -> tuple[int, int]:
    queries = a.heads * (a.qk_nope_dim + a.qk_rope_dim)
    rank = a.q_lora_rank
    linear = rank * (hidden + queries) if rank else hidden * queries
    linear += hidden * (a.kv_lora_rank + a.qk_rope_dim)
    linear += a.kv_lora_rank * a.heads * (a.qk_nope_dim + a.value_dim)
    linear += a.heads * a.value_dim * hidden
    other = (rank or 0) + a.kv_lora_rank
    if a.index_heads and a.index_dim:
        # The indexer's queries come from the latent query; its key has a LayerNorm.
        linear += (rank or hidden) * a.index_heads * a.index_dim
        linear += hidden * (a.index_dim + a.index_heads)
        other += 2 * a.index_dim
    return linear, other


def _linear(a: LinearAttention, hidden: int) -> tuple[int, int]:
    keys, values = a.key_heads * a.key_dim, a.value_heads * a.value_dim
    mixed, scalars = 2 * keys + values, 2 if a.update == "delta" else 1
    # Queries and keys, values and their gate, a decay and a write strength per head, the output; in
    # a state space the strength is the decay's own.
    linear = hidden * (mixed + values + scalars * a.value_heads) + values * hidden
    if a.update == "delta":
        # A short convolution over queries, keys and values; two scalars a head; the output's norm.
        return linear, a.conv_kernel * mixed + 2 * a.value_heads + a.value_dim
    # The convolution has a bias, a head three scalars, the norm is over all heads.
    return linear, (a.conv_kernel + 1) * mixed + 3 * a.value_heads + values
