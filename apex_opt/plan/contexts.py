"""Context parallelism: which replicas may spread the tokens of their cache over devices."""

from __future__ import annotations

from collections.abc import Iterator

from apex_opt.cost.shape import Shape
from apex_opt.spec.catalog import version_key
from apex_opt.spec.engine import EngineName
from apex_opt.spec.model import (
    LatentAttention,
    LayerKind,
    LinearAttention,
    Model,
    SoftmaxAttention,
)

SINCE: dict[EngineName, tuple[int, ...]] = {"vllm": (0, 11), "sglang": (0, 5, 23)}
"""The release from which an engine is known to spread contexts."""


def copies(model: Model, tensor: int) -> int:
    """Return the devices of a tensor group that hold the same key-value head; 0: none does.

    Latent attention has one head of vectors, recurrent attention has none.
    """
    kinds = (kind.attention for kind in model.layers.values())
    heads = [a.kv_heads if isinstance(a, SoftmaxAttention) else 1 for a in kinds]
    return tensor // max(heads)


def contexts_are_spread(shape: Shape) -> Iterator[str]:
    """Tokens of a key-value head are spread over the devices that would hold copies of it.

    Sources: vLLM, docs/serving/context_parallel_deployment.md; vllm/config/model.py,
    `verify_with_parallel_config`; v1/core/kv_cache_coordinator.py: no windows, no recurrent layers;
    pull 44044: no latent cache of 8 bits before (the first release that is known to have it: 0.33).
    SGLang 0.5.23, docs, advanced_features/dcp: latent attention alone. TensorRT-LLM (documentation,
    features/helix): on Blackwell, for replicas that decode apart, with more devices.
    """
    context, known = shape.context, SINCE.get(shape.settings.engine)
    if context == 1:
        return
    told, version = f"context = {context}", version_key(shape.settings.version) or ()
    if known is None:
        yield f"{told} in {shape.settings.engine} is not known to the planner"
    elif version < known[: len(version)]:
        yield f"{shape.settings.engine} {shape.settings.version} knows no context"
    if shape.tensor % context:
        yield f"tensor = {shape.tensor} does not divide by {told}"
    if shape.settings.drafts is not None:
        yield f"speculation and {told} exclude each other"
    if shape.model.encoder is not None:
        yield f"{told} needs a model without an encoder"
    for kind in shape.model.layers.values():
        yield from _spread(shape, kind, told)


def _spread(shape: Shape, kind: LayerKind, told: str) -> Iterator[str]:
    """Yield why the tokens of one kind of layer cannot be spread."""
    a, engine, version = kind.attention, shape.settings.engine, shape.settings.version
    if isinstance(a, LinearAttention) or (
        isinstance(a, SoftmaxAttention) and a.window_tokens is not None
    ):
        yield f"{told} needs layers that all keep the whole context"
    elif isinstance(a, LatentAttention):
        if a.index_topk is not None:
            yield f"{told} with sparse attention is not known to the planner"
        small = shape.kv_cache.bytes_per_element < 2
        if engine == "vllm" and small and (version_key(version) or ()) < (0, 33):
            yield f"vllm {version} spreads no {shape.kv_cache.name} cache of latent attention"
    elif engine == "sglang":
        yield f"{told} in sglang needs latent attention"
    elif shape.tensor // a.kv_heads < shape.context:
        held = f"tensor = {shape.tensor} has {max(shape.tensor // a.kv_heads, 1)} of each"
        yield f"{told} is more than the copies of {a.kv_heads} key-value heads: {held}"
    elif a.heads // a.kv_heads % shape.context:
        yield f"{a.heads // a.kv_heads} query heads a key-value head do not divide by {told}"
