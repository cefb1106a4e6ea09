"""What the configuration classes of Hugging Face `transformers` mean: one function a family.

A family reads the keys of its config and returns the layers in the terms of `apex_opt.spec.model`.
Defaults are those of its configuration class, `configuration_<family>.py` in transformers 5.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from apex_opt.spec.hf_keys import LONGEST, Keys

Fields = dict[str, Any]


@dataclass(frozen=True)
class Stack:
    """Layers of a decoder or an encoder.

    Attributes:
        attention, ffn: tables of each kind of attention and feed-forward layer.
        sequence: attention and feed-forward of each layer, first to last.
        norms: norms of the hidden width in a layer.
        norm_bias: norms have a bias.
        extra: parameters outside the layers, beside the final norm.
        tokens: what an encoder reads for each request; none: the prompt.
    """

    attention: dict[str, Fields]
    ffn: dict[str, Fields]
    sequence: list[tuple[str, str]]
    norms: int = 2
    norm_bias: bool = False
    extra: int = 0
    tokens: int | None = None


@dataclass(frozen=True)
class Family:
    """How to read one family.

    Attributes:
        decoder: reads the decoder's layers.
        encoder: reads the encoder's layers, if there is an encoder.
        tied: `tie_word_embeddings` where it is not given.
        hidden, context: names of the width and of the longest context, the usual one first.
        default_context: longest context where it is not given.
    """

    decoder: Callable[[Keys], Stack]
    encoder: Callable[[Keys], Stack] | None = None
    tied: bool = False
    hidden: tuple[str, ...] = ("hidden_size",)
    context: tuple[str, ...] = ("max_position_embeddings",)
    default_context: int | None = None


def softmax(
    k: Keys, *, kv_heads: int | None = None, head_dim: int | None = None, **more: Any
) -> Fields:
    """Return grouped-query attention under the usual names.

    Args:
        k: the config.
        kv_heads: default of `num_key_value_heads`; none: one for each query head.
        head_dim: default of `head_dim`; none: the hidden width over the heads.
        more: further fields of the table.
    """
    heads = k.count("num_attention_heads")
    shared = k.count("num_key_value_heads", default=kv_heads or heads)
    if heads % shared:
        k.fault("num_key_value_heads", f"must divide num_attention_heads, {heads}, got `{shared}`")
    width = k.count("head_dim", default=head_dim or split(k, heads))
    return {"kind": "softmax", "heads": heads, "kv_heads": shared, "head_dim": width, **more}


def split(k: Keys, heads: int, hidden: str = "hidden_size") -> int:
    """Return the width of a head when the heads share the hidden width."""
    return max(k.count(hidden) // heads, 1)


def dense(k: Keys, *keys: str) -> Fields:
    """Return a gated feed-forward layer; `keys` name its width."""
    return {"kind": "dense", "width": k.count(*(keys or ("intermediate_size",)))}


def experts(k: Keys, number: str, width: str, *, top_k: str = "num_experts_per_tok") -> Fields:
    """Return routed experts; the arguments name the keys."""
    total, visited = k.count(number), k.count(top_k)
    if visited > total:
        k.fault(top_k, f"must not exceed {number}, {total}, got `{visited}`")
    return {"kind": "moe", "experts": total, "top_k": visited, "width": k.count(width)}


def uniform(k: Keys, attention: Fields, ffn: Fields, label: str = "dense", **more: Any) -> Stack:
    """Return layers that are all alike."""
    layers = [("full", label)] * k.layers()
    return Stack({"full": attention}, {label: ffn}, layers, **more)


def windowed(attention: Fields, window: int | None) -> Fields:
    """Return `attention` with a sliding window, if there is one."""
    return {**attention, "window_tokens": window} if window else attention


def _bias(k: Keys, *, default: bool = False) -> str:
    return "all" if k.flag("attention_bias", default) else "none"


def _types(k: Keys, words: dict[str, str]) -> list[str] | None:
    """Return `layer_types` in our words; None where it is not given."""
    listed = k.words("layer_types", k.layers(), list(words))
    return [words[word] for word in listed] if listed else None


def llama(k: Keys) -> Stack:
    """Return Llama's layers."""
    ffn = dense(k) | {"bias": k.flag("mlp_bias", False)}
    return uniform(k, softmax(k, bias=_bias(k)), ffn)


def mistral(k: Keys) -> Stack:
    """Return Mistral's layers; a null window is none."""
    return uniform(
        k,
        windowed(softmax(k, kv_heads=8), k.optional("sliding_window", 4096, LONGEST)),
        dense(k),
    )


def mixtral(k: Keys) -> Stack:
    """Return Mixtral's layers."""
    attention = windowed(softmax(k, kv_heads=8), k.optional("sliding_window", most=LONGEST))
    return uniform(k, attention, experts(k, "num_local_experts", "intermediate_size"), "moe")


def phi3(k: Keys) -> Stack:
    """Return the layers of Phi-3 and Phi-4."""
    return uniform(k, windowed(softmax(k), k.optional("sliding_window", most=LONGEST)), dense(k))


def _qwen_windows(k: Keys, attention: Fields) -> Stack:
    """Layers from `max_window_layers` on slide, if `use_sliding_window` says so."""
    full = k.layers()
    if k.flag("use_sliding_window", False):
        full = min(full, k.count("max_window_layers", default=28, least=0))
    kinds = {"full": attention}
    layers = [("full", "dense")] * full + [("sliding", "dense")] * (k.layers() - full)
    if full < len(layers):
        kinds["sliding"] = windowed(
            attention, k.count("sliding_window", default=4096, most=LONGEST)
        )
    return Stack(kinds, {"dense": dense(k)}, layers)


def qwen2(k: Keys) -> Stack:
    """Return the layers of Qwen 2 and 2.5: queries, keys and values have a bias."""
    return _qwen_windows(k, softmax(k, bias="qkv"))


def qwen3(k: Keys) -> Stack:
    """Return Qwen 3's dense layers."""
    return _qwen_windows(k, softmax(k, bias=_bias(k), qk_norm="head"))


def _qwen_sparse(k: Keys) -> tuple[dict[str, Fields], list[str]]:
    """Feed-forward of each layer: experts each `decoder_sparse_step`, but for `mlp_only_layers`."""
    step, skipped = k.count("decoder_sparse_step", default=1), k.indices("mlp_only_layers")
    order = ["dense" if i in skipped or (i + 1) % step else "moe" for i in range(k.layers())]
    moe = experts(k, "num_experts", "moe_intermediate_size")
    if shared := k.count("shared_expert_intermediate_size", default=0, least=0):
        moe |= {"shared_width": shared, "shared_gate": True}
    return {"moe": moe, **({"dense": dense(k)} if "dense" in order else {})}, order


def qwen3_moe(k: Keys) -> Stack:
    """Return the layers of Qwen 3 with experts."""
    ffn, order = _qwen_sparse(k)
    layers = [("full", label) for label in order]
    return Stack({"full": softmax(k, bias=_bias(k), qk_norm="head")}, ffn, layers)


def _delta_net(k: Keys) -> tuple[dict[str, Fields], list[str]]:
    """Attention of each layer: three of gated DeltaNet, one full with an output gate."""
    every = k.count("full_attention_interval", default=4)
    order = ["linear" if (i + 1) % every else "full" for i in range(k.layers())]
    listed = _types(k, {"linear_attention": "linear", "full_attention": "full"})
    linear = {
        "kind": "linear",
        "key_heads": k.count("linear_num_key_heads", default=16),
        "value_heads": k.count("linear_num_value_heads", default=32),
        "key_dim": k.count("linear_key_head_dim", default=128),
        "value_dim": k.count("linear_value_head_dim", default=128),
        "conv_kernel": k.count("linear_conv_kernel_dim", default=4),
    }
    gate = k.flag("attn_output_gate", True)
    full = softmax(k, qk_norm="head", output_gate=gate, head_dim=256)
    return {"linear": linear, "full": full}, listed or order


def qwen3_next(k: Keys) -> Stack:
    """Return the layers of Qwen3-Next and of Qwen 3.5 with experts."""
    attention, order = _delta_net(k)
    ffn, sparse = _qwen_sparse(k)
    return Stack(attention, ffn, list(zip(order, sparse, strict=True)))


def qwen3_5(k: Keys) -> Stack:
    """Return Qwen 3.5's dense layers."""
    attention, order = _delta_net(k)
    return Stack(attention, {"dense": dense(k)}, [(label, "dense") for label in order])


def _state_space(k: Keys, order: list[str], ffn: Fields, **more: Any) -> Stack:
    """Layers of a Mamba-2 mixer or of attention, alike but for that."""
    heads = k.count("mamba_n_heads", default=128)
    inner = k.count("mamba_expand", default=2) * k.count("hidden_size")
    auto = k.config.get("mamba_d_head") == "auto"
    width = max(inner // heads, 1)
    for key in ("mamba_proj_bias", "mlp_bias"):
        if k.flag(key, False):
            k.fault(key, "projections with a bias are not known yet")
    mamba = {
        "kind": "linear",
        "update": "decay",
        "key_heads": k.count("mamba_n_groups", default=1),
        "value_heads": heads,
        "key_dim": k.count("mamba_d_state", default=256),
        "value_dim": width if auto else k.count("mamba_d_head", default=width),
        "conv_kernel": k.count("mamba_d_conv", default=4),
        "state_bytes": 2,
    }
    kinds = {"mamba": mamba, "full": softmax(k, bias=_bias(k), **more)}
    label = "moe" if ffn["kind"] == "moe" else "dense"
    return Stack(kinds, {label: ffn}, [(name, label) for name in order])


def bamba(k: Keys) -> Stack:
    """Return Bamba's layers: a Mamba-2 mixer but where `attn_layer_indices` says attention."""
    full = k.indices("attn_layer_indices")
    order = ["full" if i in full else "mamba" for i in range(k.layers())]
    return _state_space(k, order, dense(k), kv_heads=8)


def granite_hybrid(k: Keys) -> Stack:
    """Return the layers of Granite 4: a Mamba-2 mixer or attention, experts beside a shared one."""
    listed = _types(k, {"mamba": "mamba", "attention": "full"})
    shared = dense(k, "shared_intermediate_size")
    ffn = shared
    if k.count("num_local_experts", default=8, least=0):
        ffn = experts(k, "num_local_experts", "intermediate_size")
        ffn["shared_width"] = shared["width"]
    return _state_space(k, listed or ["mamba"] * k.layers(), ffn)


def _after_dense(k: Keys, attention: Fields, *, score_bias: bool) -> Stack:
    """Experts after `first_k_dense_replace` dense layers, with shared experts beside them."""
    layers, freq = k.layers(), k.count("moe_layer_freq", default=1)
    first = k.count("first_k_dense_replace", default=0, least=0)
    order = ["moe" if i >= first and i % freq == 0 else "dense" for i in range(layers)]
    moe = experts(k, "n_routed_experts", "moe_intermediate_size")
    if score_bias:
        moe["score_bias"] = True
    if shared := k.count("n_shared_experts", default=0, least=0, most=1000):
        moe["shared_width"] = shared * k.count("moe_intermediate_size")
    ffn = {"dense": dense(k), "moe": moe}
    return Stack({"full": attention}, ffn, [("full", label) for label in order])


def _latent(k: Keys) -> Fields:
    table: Fields = {"kind": "latent", "heads": k.count("num_attention_heads")}
    if rank := k.optional("q_lora_rank", 1536):
        table["q_lora_rank"] = rank
    return {
        **table,
        "kv_lora_rank": k.count("kv_lora_rank", default=512),
        "qk_nope_dim": k.count("qk_nope_head_dim", default=128),
        "qk_rope_dim": k.count("qk_rope_head_dim", default=64),
        "value_dim": k.count("v_head_dim", default=128),
    }


def deepseek_v2(k: Keys) -> Stack:
    """Return DeepSeek-V2's layers."""
    return _after_dense(k, _latent(k), score_bias=False)


def deepseek_v3(k: Keys) -> Stack:
    """Return the layers of DeepSeek-V3, R1 and Kimi-K2."""
    return _after_dense(k, _latent(k), score_bias=True)


def deepseek_sparse(k: Keys) -> Stack:
    """Return the layers of DeepSeek-V3.2 and GLM-5, whose attention has an indexer."""
    index = {
        "index_heads": k.count("index_n_heads"),
        "index_dim": k.count("index_head_dim"),
        "index_topk": k.count("index_topk"),
    }
    return _after_dense(k, {**_latent(k), **index}, score_bias=True)


def glm4_moe(k: Keys) -> Stack:
    """Return the layers of GLM-4.5 and 4.6; `attention_bias` spares the output."""
    bias = "qkv" if k.flag("attention_bias", False) else "none"
    norm = "head" if k.flag("use_qk_norm", False) else "none"
    return _after_dense(k, softmax(k, bias=bias, qk_norm=norm), score_bias=True)


def minimax_m2(k: Keys) -> Stack:
    """Return MiniMax-M2's layers."""
    norm = "full" if k.flag("use_qk_norm", True) else "none"
    moe = experts(k, "num_local_experts", "intermediate_size")
    return uniform(k, softmax(k, qk_norm=norm), {**moe, "score_bias": True}, "moe")


def _alternate(k: Keys, period: int) -> list[str]:
    """Return `layer_types` as sliding or full; by default one in `period` is full, the last."""
    default = ["sliding" if (i + 1) % period else "full" for i in range(k.layers())]
    return _types(k, {"sliding_attention": "sliding", "full_attention": "full"}) or default


def _sliding(
    k: Keys, attention: Fields, order: list[str], ffn: Fields, *, window: int, norms: int = 2
) -> Stack:
    """Layers alike but for the window that some have; `window` is its default."""
    label = "moe" if ffn["kind"] == "moe" else "dense"
    sliding = windowed(attention, k.count("sliding_window", default=window, most=LONGEST))
    layers = [(name, label) for name in order]
    return Stack({"sliding": sliding, "full": attention}, {label: ffn}, layers, norms)


def gpt_oss(k: Keys) -> Stack:
    """Return the layers of gpt-oss: sliding and full in turn, attention sinks."""
    moe = experts(k, "num_local_experts", "intermediate_size") | {"bias": True}
    attention = softmax(k, bias=_bias(k, default=True), sinks=True, head_dim=64)
    return _sliding(k, attention, _alternate(k, 2), moe, window=128)


def gemma2(k: Keys) -> Stack:
    """Return Gemma 2's layers: sliding and full in turn, four norms."""
    attention = softmax(k, head_dim=256)
    return _sliding(k, attention, _alternate(k, 2), dense(k), window=4096, norms=4)


def gemma3(k: Keys) -> Stack:
    """Return Gemma 3's layers: one in six is full."""
    order = _alternate(k, k.count("sliding_window_pattern", default=6))
    attention = softmax(k, qk_norm="head", head_dim=256)
    return _sliding(k, attention, order, dense(k), window=4096, norms=4)


def gemma4(k: Keys) -> Stack:
    """Return Gemma 4's layers: full ones have wider, fewer key-value heads."""
    for key in ("hidden_size_per_layer_input", "num_kv_shared_layers"):
        if k.count(key, default=0, least=0):
            k.fault(key, "models with per-layer embeddings or shared caches are not known yet")
    local = softmax(k, qk_norm="head", head_dim=256)
    shared = k.flag("attention_k_eq_v", False)
    full = {
        **local,
        "kv_heads": k.count("num_global_key_value_heads", default=local["kv_heads"]),
        "head_dim": k.count("global_head_dim", default=512),
        **({"shared_key_value": True} if shared else {}),
    }
    ffn, label, norms = dense(k), "dense", 4
    if k.flag("enable_moe_block", False):
        moe = experts(k, "num_experts", "moe_intermediate_size", top_k="top_k_experts")
        ffn, label, norms = moe | {"dense_width": k.count("intermediate_size")}, "moe", 7
    kinds = {
        "sliding": windowed(local, k.count("sliding_window", default=512, most=LONGEST)),
        "full": full,
    }
    return Stack(kinds, {label: ffn}, [(name, label) for name in _alternate(k, 6)], norms)


def llama4(k: Keys) -> Stack:
    """Three chunked layers and a full one; experts each `interleave_moe_layer_step`."""
    layers, step = k.layers(), k.count("interleave_moe_layer_step", default=1)
    listed = k.indices("moe_layers")
    full = softmax(k, bias=_bias(k))
    types = _types(k, {"chunked_attention": "chunked", "full_attention": "full"})
    moe = experts(k, "num_local_experts", "intermediate_size")
    moe["shared_width"] = moe["width"]
    ffn = {"moe": moe, "dense": dense(k, "intermediate_size_mlp", "intermediate_size")}
    sequence = [
        (
            types[i] if types else "chunked" if (i + 1) % 4 else "full",
            "moe" if (i in listed if listed else (i + 1) % step == 0) else "dense",
        )
        for i in range(layers)
    ]
    chunk = windowed(full, k.count("attention_chunk_size", default=8192, most=LONGEST))
    return Stack({"chunked": chunk, "full": full}, ffn, sequence)
