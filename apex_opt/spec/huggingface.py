"""A model from its Hugging Face `config.json`.

`from_config` returns what a `[model]` table of a spec would say, as `apex_opt.spec.model.Model`
takes it. The file is foreign: it is bounded in size, each value is checked, and all faults are told
at once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from apex_opt.spec import hf_classic as classic
from apex_opt.spec import hf_families as families
from apex_opt.spec.hf_families import Family, Stack
from apex_opt.spec.hf_keys import LONGEST, Keys, shown
from apex_opt.spec.hf_quantization import native_weights
from apex_opt.spec.hf_vision import vision

LONGEST_PERIOD = 64
"""Layers of the longest run that is looked for in the order of the layers."""

_T5 = Family(
    classic.t5_decoder,
    classic.t5_encoder,
    tied=True,
    hidden=("d_model",),
    context=("n_positions",),
    default_context=512,
)
_WHISPER = Family(
    classic.whisper_decoder,
    classic.whisper_encoder,
    tied=True,
    hidden=("d_model",),
    context=("max_target_positions",),
    default_context=448,
)

FAMILIES: Mapping[str, Family] = {
    "bamba": Family(families.bamba, default_context=262_144),
    "deepseek_v2": Family(families.deepseek_v2),
    "deepseek_v3": Family(families.deepseek_v3),
    "deepseek_v32": Family(families.deepseek_sparse),
    "falcon": Family(classic.falcon, tied=True, default_context=2048),
    "gemma2": Family(families.gemma2, tied=True),
    "gemma3_text": Family(families.gemma3, tied=True),
    "gemma4_text": Family(families.gemma4, tied=True),
    "glm4_moe": Family(families.glm4_moe),
    "glm_moe_dsa": Family(families.deepseek_sparse),
    "gpt2": Family(classic.gpt2, tied=True, hidden=("n_embd",), context=("n_positions", "n_ctx")),
    "gpt_oss": Family(families.gpt_oss),
    "gptj": Family(classic.gptj, hidden=("n_embd",), context=("n_positions",)),
    "granitemoehybrid": Family(families.granite_hybrid),
    "kimi_k2": Family(families.deepseek_v3),
    "llama": Family(families.llama),
    "llama4_text": Family(families.llama4),
    "minimax_m2": Family(families.minimax_m2),
    "mistral": Family(families.mistral),
    "mixtral": Family(families.mixtral),
    "opt": Family(classic.opt, tied=True),
    "phi3": Family(families.phi3),
    "qwen2": Family(families.qwen2),
    "qwen3": Family(families.qwen3),
    "qwen3_5_moe_text": Family(families.qwen3_next),
    "qwen3_5_text": Family(families.qwen3_5),
    "qwen3_moe": Family(families.qwen3_moe),
    "qwen3_next": Family(families.qwen3_next),
    "qwen3_vl_moe_text": Family(families.qwen3_moe),
    "qwen3_vl_text": Family(families.qwen3),
    "t5": _T5,
    "whisper": _WHISPER,
}


class ConfigError(ValueError):
    """A config.json that cannot be used; `faults` has one `key: why` each, the text all of them."""

    def __init__(self, faults: Sequence[str]) -> None:
        self.faults = tuple(faults)
        super().__init__("\n".join(faults))


def from_config(config: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return the model that a Hugging Face config describes, as a table for `Model`.

    A multimodal config counts as its `text_config`, and its `vision_config` where the encoder is
    one of `apex_opt.spec.hf_vision`. Layers for multi-token prediction are left out.

    Args:
        config: the parsed `config.json`.
        name: name that the model gets.

    Raises:
        ConfigError: unknown `model_type`, or keys that are missing or wrong: all at once.
    """
    outer, config = Keys(config), flatten(config)
    kind = config.get("model_type")
    family = FAMILIES.get(kind) if isinstance(kind, str) else None
    if family is None:
        raise ConfigError([_unknown(kind)])
    k = Keys(config)
    hidden = k.count(*family.hidden)
    decoder = family.decoder(k)
    model = {
        "name": name,
        "hidden_size": hidden,
        "vocab_size": k.count("vocab_size"),
        "tied_embeddings": k.flag("tie_word_embeddings", family.tied),
        "max_context": k.count(*family.context, default=family.default_context, most=LONGEST),
        **_layers(decoder, hidden),
        "native_weights": native_weights(k),
    }
    if family.encoder is not None:
        model["encoder"] = _layers(family.encoder(k), hidden)
    if (seen := vision(outer, hidden)) is not None:
        model["vision"] = seen
    if faults := k.faults + outer.faults:
        raise ConfigError(list(dict.fromkeys(faults)))
    return model


def flatten(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the `text_config` of a multimodal config, with what only the outer config says."""
    inner = config.get("text_config")
    if not isinstance(inner, Mapping):
        return config
    outer = {
        key: config[key]
        for key in ("quantization_config", "tie_word_embeddings", "dtype", "torch_dtype")
        if key in config
    }
    inferred = f"{config.get('model_type')}_text"
    return {"model_type": inferred, **outer, **inner}


def _unknown(kind: object) -> str:
    what = "missing" if kind is None else f"unknown, got {shown(kind)}"
    known = ", ".join(FAMILIES)
    return f"model_type: {what}; known are {known}. For others write the layers by hand, in [model]"


def _layers(stack: Stack, hidden: int) -> dict[str, Any]:
    """Return `layers`, `pattern` and `extra_parameters` of a stack."""
    used = list(dict.fromkeys(stack.sequence))
    attentions, ffns = {a for a, _ in used}, {f for _, f in used}

    def label(attention: str, ffn: str) -> str:
        if len(attentions) == 1:
            return ffn
        return attention if len(ffns) == 1 else f"{attention}-{ffn}"

    norms = {"norms": stack.norms, "norm_bias": stack.norm_bias}
    kinds = {
        label(a, f): {"attention": stack.attention[a], "ffn": stack.ffn[f], **norms}
        for a, f in used
    }
    final_norm = hidden * (2 if stack.norm_bias else 1)
    return {
        "layers": kinds,
        "pattern": runs([label(a, f) for a, f in stack.sequence]),
        "extra_parameters": stack.extra + final_norm,
        **({} if stack.tokens is None else {"tokens": stack.tokens}),
    }


def runs(sequence: Sequence[str]) -> tuple[dict[str, Any], ...]:
    """Return the order of layers as repeated runs, each time the run that covers most layers."""
    found: list[dict[str, Any]] = []
    start = 0
    while start < len(sequence):
        period, repeat = _longest_run(sequence, start)
        found.append({"layers": tuple(sequence[start : start + period]), "repeat": repeat})
        start += period * repeat
    return tuple(found)


def _longest_run(sequence: Sequence[str], start: int) -> tuple[int, int]:
    best = (1, 1)
    for period in range(1, min(LONGEST_PERIOD, len(sequence) - start) + 1):
        run = sequence[start : start + period]
        repeat, end = 1, start + period
        while sequence[end : end + period] == run:
            repeat, end = repeat + 1, end + period
        if repeat > 1 and period * repeat > best[0] * best[1]:
            best = (period, repeat)
    return best
