"""Number formats of a run, from the short names of case files."""

from __future__ import annotations

from apex_opt.spec import catalog
from apex_opt.spec.model import Model

CHECKPOINTS = {"fp8": "fp8-block", "fp4": "nvfp4"}
"""What is published of most mixture-of-experts models: blocks of 128 x 128, NVFP4."""

BLOCKS_FROM = {"vllm": (0, 6, 6), "sglang": (0, 4, 1)}
"""Versions from which engines read blocks: those that brought DeepSeek-V3."""


def routed(model: Model) -> bool:
    """Return whether a model has routed experts."""
    return any(kind.ffn.kind == "moe" for kind in model.layers.values())


def reads_blocks(engine: str, version: str | None) -> bool:
    """Return whether an engine reads weights with a scale a block; none said: the newest does."""
    key = catalog.version_key(version or "")
    return key is None or key >= BLOCKS_FROM.get(engine, ())


def weights(model: Model, name: str | None, *, blocks: bool = True) -> str:
    """Return the weight format that a case means.

    Args:
        model: its checkpoint may be in a format of its own.
        name: `bf16`, `fp8`, `fp4`, …; None: the checkpoint's own.
        blocks: the engine reads a scale a block.

    Returns:
        A name of the catalogue. `fp8` and `fp4` mean the checkpoint's own format if it has so many
        bits; else NVFP4, and fp8 with a scale a tensor in dense models (NVIDIA ModelOpt) or a block
        in mixtures of experts.
    """
    own = model.native_weights
    if name is None or (name, own) == ("fp4", "mxfp4"):
        return own
    if any(name.startswith(bits) and own.startswith(bits) for bits in ("fp8", "int4")):
        return own
    if name == "fp8" and not (blocks and routed(model)):
        return name
    return CHECKPOINTS.get(name, name)


def readings(model: Model, name: str | None, *, blocks: bool = True) -> tuple[str, ...]:
    """Return the formats that a case may mean, the likeliest first.

    Mixtures of experts whose parts are no whole blocks were published with a scale a channel
    (GLM-4.5-FP8): this is what `fp8` means where a replica cannot hold blocks.
    """
    first = weights(model, name, blocks=blocks)
    return (
        (first, "fp8") if name == "fp8" and first not in ("fp8", model.native_weights) else (first,)
    )
