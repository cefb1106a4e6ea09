"""Number formats of a run, from the short names of case files."""

from __future__ import annotations

from apex_opt.spec.model import Model

CHECKPOINTS = {"fp8": "fp8-block", "fp4": "nvfp4"}
"""What is published of mixture-of-experts models: blocks of 128 x 128, NVFP4."""


def weights(model: Model, name: str | None) -> str:
    """Return the weight format that a case means.

    Args:
        model: its checkpoint may be in a format of its own.
        name: `bf16`, `fp8`, `fp4`, …; None: the checkpoint's own.

    Returns:
        A name of the catalogue. `fp8` and `fp4` mean the checkpoint's own format if it has so many
        bits; else NVFP4, and fp8 with a scale a tensor in dense models (NVIDIA ModelOpt) or a block
        in mixtures of experts.
    """
    own = model.native_weights
    if name is None or (name[:3] == "fp8" and own[:3] == "fp8") or (name, own) == ("fp4", "mxfp4"):
        return own
    moe = any(kind.ffn.kind == "moe" for kind in model.layers.values())
    return CHECKPOINTS.get(name, name) if moe or name == "fp4" else name
