"""The model to be served: its layers by kind, the order in which they stand, its embeddings.

A model is a list of layer *kinds* (attention + feed-forward) and a *pattern* that says how the
kinds repeat. Everything that is computed from a model follows the counts of its kinds, never the
layers one by one.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from apex_opt.spec.table import Count, Name, NonNegative, Table


class SoftmaxAttention(Table):
    """Multi-head, grouped-query or multi-query attention; full, sliding-window or chunked."""

    kind: Literal["softmax"] = Field("softmax", description="Softmax attention.")
    heads: Count = Field(description="Query heads.")
    kv_heads: Count = Field(description="Key-value heads; fewer than `heads` is GQA, one is MQA.")
    head_dim: Count = Field(description="Width of a query or key head.")
    value_dim: Count | None = Field(None, description="Width of a value head; default `head_dim`.")
    window_tokens: Count | None = Field(
        None, description="A token sees at most this many tokens (sliding window or chunk)."
    )
    bias: Literal["none", "qkv", "all"] = Field("none", description="Projections with a bias.")
    qk_norm: Literal["none", "head", "full"] = Field(
        "none", description="Norm of queries and keys: a weight per head width, or per projection."
    )
    output_gate: bool = Field(False, description="A gate as wide as the queries is projected too.")
    sinks: bool = Field(False, description="One learned sink per head.")
    shared_key_value: bool = Field(
        False, description="Values are projected with the keys' matrix; both are cached."
    )
    cross: bool = Field(False, description="The layer also attends to the encoder's output.")


class LatentAttention(Table):
    """Multi-head latent attention (DeepSeek): the cache holds one latent vector per token."""

    kind: Literal["latent"] = Field(description="Multi-head latent attention.")
    heads: Count = Field(description="Query heads.")
    q_lora_rank: Count | None = Field(None, description="Rank of the query projection; none: full.")
    kv_lora_rank: Count = Field(description="Width of the cached latent vector.")
    qk_nope_dim: Count = Field(description="Width of a head's part without rotary embedding.")
    qk_rope_dim: Count = Field(description="Width of the rotary part, shared by all heads.")
    value_dim: Count = Field(description="Width of a value head.")
    index_heads: Count | None = Field(None, description="Heads of a sparse-attention indexer.")
    index_dim: Count | None = Field(None, description="Width of an indexer head.")
    index_topk: Count | None = Field(None, description="Tokens that the indexer keeps.")


class LinearAttention(Table):
    """A state of constant size: linear attention (gated DeltaNet) or state spaces (Mamba-2)."""

    kind: Literal["linear"] = Field(description="Linear attention, or a state-space layer.")
    key_heads: Count = Field(description="Key heads; of a state space its groups.")
    value_heads: Count = Field(description="Value heads.")
    key_dim: Count = Field(description="Width of a key head; of a state space its state's.")
    value_dim: Count = Field(description="Width of a value head.")
    update: Literal["delta", "decay"] = Field(
        "delta",
        description="What a token does to the state: it is corrected by what it holds (gated delta "
        "rule), or decays and is added to (state space).",
    )
    conv_kernel: Count = Field(4, description="Taps of the short convolution.")
    state_bytes: Literal[2, 4] = Field(4, description="Bytes of one element of the state.")


Attention = Annotated[
    SoftmaxAttention | LatentAttention | LinearAttention, Field(discriminator="kind")
]


class DenseFfn(Table):
    """A feed-forward layer that every token passes."""

    kind: Literal["dense"] = Field("dense", description="Dense feed-forward layer.")
    width: Count = Field(description="Intermediate width.")
    gated: bool = Field(True, description="Gate, up and down projections; else up and down.")
    bias: bool = Field(False, description="Projections have a bias.")


class MoeFfn(Table):
    """A mixture of experts: a router sends each token to `top_k` of `experts`."""

    kind: Literal["moe"] = Field(description="Mixture of experts.")
    experts: Count = Field(description="Routed experts.")
    top_k: Count = Field(description="Experts that a token visits.")
    width: Count = Field(description="Intermediate width of one expert.")
    gated: bool = Field(True, description="Experts have gate, up and down projections.")
    bias: bool = Field(False, description="Expert projections and router have a bias.")
    score_bias: bool = Field(
        False, description="A bias for each expert steers the choice (DeepSeek-V3's load balance)."
    )
    shared_width: Annotated[int, Field(ge=0, le=10**9)] = Field(
        0, description="Intermediate width of the shared experts together; 0: none."
    )
    shared_gate: bool = Field(False, description="The shared expert's output is gated.")
    dense_width: Annotated[int, Field(ge=0, le=10**9)] = Field(
        0, description="A dense feed-forward layer beside the experts; 0: none."
    )


Ffn = Annotated[DenseFfn | MoeFfn, Field(discriminator="kind")]


class LayerKind(Table):
    """One kind of layer: attention, feed-forward, norms."""

    attention: Attention = Field(description="Attention.")
    ffn: Ffn = Field(description="Feed-forward layer.")
    norms: Annotated[int, Field(ge=0, le=8)] = Field(2, description="Norms of the hidden width.")
    norm_bias: bool = Field(False, description="Norms are LayerNorm with a bias.")


class Repeat(Table):
    """A run of the pattern: the kinds in `layers`, in order, `repeat` times."""

    layers: tuple[Name, ...] = Field(min_length=1, max_length=1000, description="Names of kinds.")
    repeat: Annotated[int, Field(ge=1, le=10_000)] = Field(1, description="How many times.")


class Encoder(Table):
    """The encoder of an encoder-decoder model."""

    layers: dict[Name, LayerKind] = Field(description="Kinds of encoder layer, by name.")
    pattern: tuple[Repeat, ...] = Field(
        min_length=1, max_length=1000, description="How the kinds follow each other."
    )
    tokens: Count | None = Field(
        None,
        description="What it reads for each request, whatever the prompt: Whisper's 1,500 frames "
        "of 30 s; default: it reads the prompt, and the decoder begins with one token.",
    )
    extra_parameters: NonNegative = Field(0, description="Convolutions, positions, final norm.")


class Vision(Table):
    """The encoder of images: a vision transformer, and what leads from it to the model."""

    hidden_size: Count = Field(description="Width of its residual stream.")
    layers: Count = Field(description="Its layers, all alike.")
    heads: Count = Field(description="Its heads, which share `hidden_size`.")
    width: Count = Field(description="Intermediate width of its feed-forward layers.")
    gated: bool = Field(False, description="Gate, up and down projections; else up and down.")
    bias: bool = Field(True, description="Projections and norms have a bias.")
    patches: Count = Field(description="Patches of an image, which pass its layers.")
    tile_patches: Count | None = Field(
        None, description="Patches that see each other, where an image is cut; default: all."
    )
    tokens: Count = Field(description="Tokens that an image takes in the prompt.")
    projector_parameters: NonNegative = Field(
        0, description="Parameters that each of these tokens passes on its way into the model."
    )
    extra_parameters: NonNegative = Field(0, description="Patch embedding, positions, norms.")


class Model(Table):
    """The model: kinds of layer, their order, embeddings."""

    name: Name = Field(description="Name in the catalogue, or of your choice.")
    aliases: tuple[Name, ...] = Field((), description="Other names, as on Hugging Face.")
    checkpoints: dict[Name, tuple[Name, ...]] = Field(
        {}, description="Names of checkpoints in other formats, by weight format."
    )
    hidden_size: Count = Field(description="Width of the residual stream.")
    vocab_size: Count = Field(description="Tokens of the vocabulary.")
    tied_embeddings: bool = Field(False, description="LM head and embedding are one matrix.")
    max_context: Count = Field(description="Longest prompt + output, tokens.")
    layers: dict[Name, LayerKind] = Field(min_length=1, description="Kinds of layer, by name.")
    pattern: tuple[Repeat, ...] = Field(
        min_length=1, max_length=1000, description="How the kinds follow each other."
    )
    encoder: Encoder | None = Field(None, description="Encoder of an encoder-decoder model.")
    vision: Vision | None = Field(None, description="Encoder of images.")
    extra_parameters: NonNegative = Field(
        0, description="Parameters outside layers, embedding and head: positions, norms."
    )
    native_weights: Name = Field("bf16", description="Weight format of the published checkpoint.")
    published_parameters: NonNegative | None = Field(None, description="Total, as published.")
    published_active_parameters: NonNegative | None = Field(None, description="Per token.")
    source: str = Field("", description="Where the figures come from.")

    def counts(self) -> dict[str, int]:
        """Return how many layers of each kind the model has, in order of first appearance."""
        counts: dict[str, int] = {}
        for run in self.pattern:
            for kind in run.layers:
                counts[kind] = counts.get(kind, 0) + run.repeat
        return counts

    @property
    def reads_prompt(self) -> bool:
        """Whether prompts go to an encoder, as those of T5 do, and not to the decoder."""
        return self.encoder is not None and self.encoder.tokens is None

    def sequence(self) -> tuple[str, ...]:
        """Return the kind of every layer, first to last."""
        return tuple(kind for run in self.pattern for kind in run.layers * run.repeat)
