"""Older families of Hugging Face `transformers`, each with key names of its own."""

from __future__ import annotations

from dataclasses import replace

from apex_opt.spec.hf_families import Fields, Stack, split, uniform
from apex_opt.spec.hf_keys import Keys


def falcon(k: Keys) -> Stack:
    """Return Falcon's layers: attention and feed-forward in parallel, under one norm or two."""
    heads = k.count("num_attention_heads", "n_head")
    grouped = k.flag("new_decoder_architecture", False)
    single = 1 if k.flag("multi_query", True) else heads
    kv_heads = k.count("num_kv_heads", default=heads) if grouped else single
    bias = k.flag("bias", False)
    attention: Fields = {
        "kind": "softmax",
        "heads": heads,
        "kv_heads": kv_heads,
        "head_dim": split(k, heads),
        "bias": "all" if bias else "none",
    }
    width = k.count("ffn_hidden_size", default=4 * k.count("hidden_size"))
    ffn: Fields = {"kind": "dense", "width": width, "gated": False, "bias": bias}
    norms = 2 if grouped or not k.flag("parallel_attn", True) else 1
    sequence = [("full", "dense")] * k.layers("num_hidden_layers", "n_layer")
    return Stack({"full": attention}, {"dense": ffn}, sequence, norms, norm_bias=True)


def opt(k: Keys) -> Stack:
    """Return OPT's layers; positions are learned, two more than the context."""
    heads, hidden = k.count("num_attention_heads"), k.count("hidden_size")
    if k.count("word_embed_proj_dim", default=hidden) != hidden:
        k.fault("word_embed_proj_dim", f"must be hidden_size, {hidden}: projections are not known")
    if not k.flag("do_layer_norm_before", True):
        k.fault("do_layer_norm_before", "must be true: models with norms after are not known")
    positions = (k.count("max_position_embeddings") + 2) * hidden
    attention = _all_biased(heads, split(k, heads))
    return uniform(k, attention, _plain(k.count("ffn_dim")), norm_bias=True, extra=positions)


def gpt2(k: Keys) -> Stack:
    """Return GPT-2's layers; positions are learned."""
    heads, hidden = k.count("n_head"), k.count("n_embd")
    attention = _all_biased(heads, split(k, heads, "n_embd"))
    ffn = _plain(k.count("n_inner", default=4 * hidden))
    sequence = [("full", "dense")] * k.layers("n_layer")
    extra = k.count("n_positions", "n_ctx") * hidden
    return Stack({"full": attention}, {"dense": ffn}, sequence, norm_bias=True, extra=extra)


def gptj(k: Keys) -> Stack:
    """Return GPT-J's layers: parallel, one norm; the LM head has a bias."""
    heads = k.count("n_head")
    attention = {**_all_biased(heads, split(k, heads, "n_embd")), "bias": "none"}
    ffn = _plain(k.count("n_inner", default=4 * k.count("n_embd")))
    sequence = [("full", "dense")] * k.layers("n_layer")
    extra = k.count("vocab_size")
    return Stack({"full": attention}, {"dense": ffn}, sequence, 1, norm_bias=True, extra=extra)


def t5_decoder(k: Keys) -> Stack:
    """Return the decoder of T5: self-attention, cross-attention and feed-forward, a norm each."""
    layers = k.layers("num_decoder_layers", "num_layers")
    return _t5(k, layers, norms=3, cross=True)


def t5_encoder(k: Keys) -> Stack:
    """Return the encoder of T5."""
    return _t5(k, k.layers("num_layers"), norms=2)


def _t5(k: Keys, layers: int, norms: int, **more: bool) -> Stack:
    heads = k.count("num_heads")
    attention: Fields = {
        "kind": "softmax",
        "heads": heads,
        "kv_heads": heads,
        "head_dim": k.count("d_kv", default=64),
        **more,
    }
    gated = k.text("feed_forward_proj", "relu").startswith("gated")
    ffn: Fields = {"kind": "dense", "width": k.count("d_ff"), "gated": gated}
    # The first layer of a stack holds the relative positions of all.
    extra = k.count("relative_attention_num_buckets", default=32) * heads
    sequence = [("full", "dense")] * layers
    return Stack({"full": attention}, {"dense": ffn}, sequence, norms, extra=extra)


def whisper_decoder(k: Keys) -> Stack:
    """Return the decoder of Whisper; positions are learned."""
    positions = k.count("max_target_positions", default=448) * k.count("d_model")
    return _whisper(k, "decoder", norms=3, extra=positions, cross=True)


def whisper_encoder(k: Keys) -> Stack:
    """Return the encoder of Whisper, with its two convolutions and its positions."""
    hidden = k.count("d_model")
    mel = 3 * hidden * k.count("num_mel_bins", default=80) + hidden
    second = 3 * hidden * hidden + hidden
    frames = k.count("max_source_positions", default=1500)
    stack = _whisper(k, "encoder", norms=2, extra=mel + second + frames * hidden)
    return replace(stack, tokens=frames)


def _whisper(k: Keys, side: str, norms: int, extra: int, **more: bool) -> Stack:
    heads = k.count(f"{side}_attention_heads")
    attention = {**_all_biased(heads, split(k, heads, "d_model")), **more}
    ffn = _plain(k.count(f"{side}_ffn_dim"))
    sequence = [("full", "dense")] * k.layers(f"{side}_layers")
    return Stack({"full": attention}, {"dense": ffn}, sequence, norms, norm_bias=True, extra=extra)


def _all_biased(heads: int, head_dim: int) -> Fields:
    """Return multi-head attention; `all` counts a bias for the keys, which Whisper's lack."""
    table = {"kind": "softmax", "heads": heads, "kv_heads": heads, "head_dim": head_dim}
    return {**table, "bias": "all"}


def _plain(width: int) -> Fields:
    return {"kind": "dense", "width": width, "gated": False, "bias": True}
