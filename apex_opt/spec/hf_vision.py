"""The encoder of images in a Hugging Face `config.json`: one function a multimodal family.

What leads from the encoder to the model belongs to the whole, so that the `model_type` of the outer
config names the family. One that is not here counts as its text model, which does not see. Layers
that are not all alike, as Qwen2.5-VL's with windows in most, are more than `[model.vision]` says.
Defaults are those of the configuration classes in transformers 5; how parameters add up follows its
`modeling_*.py`, how an image is cut its `image_processing_*.py`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from apex_opt.spec.hf_keys import LAYERS, Keys

Fields = dict[str, Any]

IMAGE_PX = 1024
"""Side of the square image that an encoder sees which takes any size; no config says it."""

LLAMA_4_TILES = 5
"""Tiles of an image twice as high and wide as a tile: four, and one of the whole."""

LARGEST_PX = 10_000
"""No image or patch is higher or wider."""

LARGEST_MERGE = 64
"""No side of a square of patches that become one token is longer; nor are more frames a patch."""


def vision(outer: Keys, hidden: int) -> Fields | None:
    """Return what `[model.vision]` would say; None where the model does not see, or is not known.

    Args:
        outer: the whole config; it is told what is wrong with its `vision_config`.
        hidden: width of the text model.
    """
    kind = outer.config.get("model_type")
    family = FAMILIES.get(kind) if isinstance(kind, str) else None
    if family is None or not outer.has("vision_config"):
        return None
    return family(outer, outer.inside("vision_config"), hidden)


def gemma3(k: Keys, v: Keys, hidden: int) -> Fields:
    """Return SigLIP on an image of one size, whose patches are averaged."""
    stack, patch = _stack(v, 768, 12, 12, 3072), _patch(v, 16)
    width, patches = stack["hidden_size"], _grid(v, patch, 224) ** 2
    tokens = k.count("mm_tokens_per_image", default=256)
    if tokens > patches:
        k.fault("mm_tokens_per_image", f"must not exceed the patches, {patches:,}, got `{tokens}`")
    return {
        **stack,
        "patches": patches,
        "tokens": tokens,
        "projector_parameters": width * (hidden + 1),
        # The patches and their bias, positions, the last norm.
        "extra_parameters": width * (_pixels(v, patch) + 1 + patches + 2),
    }


def gemma4(k: Keys, v: Keys, hidden: int) -> Fields:
    """Return Gemma 4's encoder: an image gets as many patches as fit, and is padded to the most."""
    stack, patch = _stack(v, 768, 16, 12, 3072, bias=False), _patch(v, 16)
    width, head = stack["hidden_size"], stack["hidden_size"] // stack["heads"]
    most = k.count("vision_soft_tokens_per_image", default=280)
    pooled = _merge(v, 3, "pooling_kernel_size")
    positions = 2 * v.count("position_embedding_size", default=10_240)
    scale = 2 if v.flag("standardize", False) else 0
    # A layer has four norms, of which two are counted there, and norms of queries and keys.
    norms = stack["layers"] * 2 * (width + head)
    return {
        **stack,
        "gated": True,
        "patches": most * pooled**2,
        "tokens": math.isqrt(most) ** 2,
        "projector_parameters": width * hidden,
        "extra_parameters": width * (_pixels(v, patch) + positions + scale) + norms,
    }


def llama4(_: Keys, v: Keys, hidden: int) -> Fields:
    """Return Llama 4's encoder of tiles; pixel shuffle makes a token of four patches."""
    stack, patch = _stack(v, 768, 34, 16, 5632), _patch(v, 14)
    width, patches = stack["hidden_size"], _grid(v, patch, 448) ** 2
    if v.config.get("pixel_shuffle_ratio", 0.5) != 0.5:
        v.fault("pixel_shuffle_ratio", "must be 0.5: other ratios are not known")
    first = v.count("projector_input_dim", default=4096)
    second = v.count("projector_output_dim", default=4096)
    last = v.count("vision_output_dim", default=7680)
    tile = patches + 1
    return {
        **stack,
        "patches": LLAMA_4_TILES * tile,
        "tile_patches": tile,
        "tokens": LLAMA_4_TILES * max(patches // 4, 1),
        "projector_parameters": first * (stack["width"] + second) + last * hidden,
        # The patches, a class token, positions, the first and the last norm.
        "extra_parameters": width * (_pixels(v, patch) + 1 + tile + 4),
    }


def mistral3(k: Keys, v: Keys, hidden: int) -> Fields:
    """Return Pixtral's encoder, whose patches are merged; each row of tokens ends with a break."""
    stack, patch = _stack(v, 1024, 24, 16, 4096, bias=False), _patch(v, 16)
    width, merge = stack["hidden_size"], _merge(k, 2)
    if k.config.get("vision_feature_layer", -1) != -1:
        k.fault("vision_feature_layer", "must be -1: other layers are not known")
    bias = 2 * hidden if k.flag("multimodal_projector_bias", False) else 0
    side = math.ceil(IMAGE_PX / (patch * merge))
    return {
        **stack,
        "gated": True,
        "patches": (side * merge) ** 2,
        "tokens": side * (side + 1),
        # A norm, the merging, two matrices.
        "projector_parameters": width * (1 + merge**2 * width + hidden) + hidden**2 + bias,
        "extra_parameters": width * (_pixels(v, patch) + 1),
    }


def qwen3(_: Keys, v: Keys, hidden: int, *, deepstack: int = 0) -> Fields:
    """Return the encoder of Qwen 3.5 and 3 VL: two matrices make a token of merged patches.

    Args:
        v: the `vision_config`.
        hidden: width of the text model.
        deepstack: layers whose output is handed on too, where the config does not list them.
    """
    stack = _stack(v, 1152, 27, 16, 4304, layers="depth", heads="num_heads")
    patch = _patch(v, 16)
    width, merge = stack["hidden_size"], _merge(v, 2)
    frames = v.count("temporal_patch_size", default=2, most=LARGEST_MERGE)
    positions = v.count("num_position_embeddings", default=2304)
    if v.has("deepstack_visual_indexes"):
        deepstack = len(v.indices("deepstack_visual_indexes"))
    side, merged = math.ceil(IMAGE_PX / (patch * merge)), merge**2 * width
    network = (merged + 1) * (merged + hidden)
    return {
        **stack,
        "patches": (side * merge) ** 2,
        "tokens": side**2,
        # The norm comes before the merging; where layers are handed on, after it.
        "projector_parameters": network + 2 * width + deepstack * (network + 2 * merged),
        "extra_parameters": width * (frames * _pixels(v, patch, "in_channels") + 1 + positions),
    }


FAMILIES: Mapping[str, Callable[[Keys, Keys, int], Fields]] = {
    "gemma3": gemma3,
    "gemma4": gemma4,
    "llama4": llama4,
    "mistral3": mistral3,
    "qwen3_5": qwen3,
    "qwen3_5_moe": qwen3,
    "qwen3_vl": partial(qwen3, deepstack=3),
    "qwen3_vl_moe": partial(qwen3, deepstack=3),
}
"""Multimodal families by the `model_type` of the outer config."""


def _stack(
    v: Keys,
    hidden: int,
    number: int,
    share: int,
    inner: int,
    *,
    layers: str = "num_hidden_layers",
    heads: str = "num_attention_heads",
    bias: bool = True,
) -> Fields:
    """Return what the layers are; `hidden` to `inner` are defaults, `layers` and `heads` keys."""
    width, parts = v.count("hidden_size", default=hidden), v.count(heads, default=share)
    if width % parts:
        v.fault(heads, f"must divide hidden_size, {width}, got `{parts}`")
    head = max(width // parts, 1)
    for key, only in (("head_dim", head), ("num_key_value_heads", parts)):
        if v.count(key, default=only) != only:
            v.fault(key, f"must be {only}: heads that do not share the width are not known")
    return {
        "hidden_size": width,
        "layers": v.count(layers, default=number, most=LAYERS),
        "heads": parts,
        "width": v.count("intermediate_size", default=inner),
        "bias": bias,
    }


def _patch(v: Keys, default: int) -> int:
    return v.count("patch_size", default=default, most=LARGEST_PX)


def _merge(k: Keys, default: int, key: str = "spatial_merge_size") -> int:
    return k.count(key, default=default, most=LARGEST_MERGE)


def _grid(v: Keys, patch: int, default: int) -> int:
    """Return the patches along a side of an image of one size."""
    side = v.count("image_size", default=default, most=LARGEST_PX)
    if side < patch:
        v.fault("image_size", f"must be patch_size, {patch}, or more, got `{side}`")
    return max(side // patch, 1)


def _pixels(v: Keys, patch: int, channels: str = "num_channels") -> int:
    """Return the numbers that a patch consists of."""
    return v.count(channels, default=3, most=LARGEST_MERGE) * patch**2
