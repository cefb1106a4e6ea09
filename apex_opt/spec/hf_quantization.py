"""The weight format of a Hugging Face checkpoint, from the `quantization_config` of its config."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from apex_opt.spec.hf_keys import Keys, shown

METHODS = ("awq", "compressed-tensors", "fbgemm_fp8", "fp8", "gptq", "modelopt", "mxfp4")
ADVICE = "remove quantization_config to describe the model in 16 bits"


def native_weights(k: Keys) -> str:
    """Return the catalogue's name of the checkpoint's weight format."""
    quantization = k.config.get("quantization_config")
    if quantization is None:
        return _half(k)
    if not isinstance(quantization, Mapping):
        k.fault("quantization_config", f"must be an object, got {shown(quantization)}")
        return "bf16"
    method = quantization.get("quant_method")
    found = _named(method, quantization) if isinstance(method, str) else None
    if found is None:
        k.fault(
            "quantization_config",
            f"format not known: quant_method {shown(method)}, of which {', '.join(METHODS)} "
            f"are read; {ADVICE}",
        )
    return found or "bf16"


def _half(k: Keys) -> str:
    half = k.text("dtype" if k.has("dtype") else "torch_dtype", "bfloat16")
    return "fp16" if half.removeprefix("torch.") == "float16" else "bf16"


def _named(method: str, quantization: Mapping[str, Any]) -> str | None:
    if method == "fp8":
        return "fp8-block" if quantization.get("weight_block_size") else "fp8"
    if method == "fbgemm_fp8":
        return "fp8"
    if method == "mxfp4":
        return "mxfp4"
    if method in {"awq", "gptq"} and quantization.get("bits") == 4:
        return f"{method}-int4"
    if method == "modelopt":
        return {"NVFP4": "nvfp4", "FP8": "fp8"}.get(str(quantization.get("quant_algo")))
    if method == "compressed-tensors":
        return _compressed(quantization)
    return None


def _compressed(quantization: Mapping[str, Any]) -> str | None:
    """Return the format of a compressed-tensors checkpoint: that of its first group of layers."""
    groups = quantization.get("config_groups")
    group = next(iter(groups.values()), None) if isinstance(groups, Mapping) else None
    weights = group.get("weights") if isinstance(group, Mapping) else None
    if not isinstance(weights, Mapping):
        return None
    kind, bits, size = weights.get("type"), weights.get("num_bits"), weights.get("group_size")
    if (kind, bits) == ("float", 8):
        return "fp8-block" if weights.get("strategy") == "block" else "fp8"
    if (kind, bits) == ("float", 4):
        return "nvfp4"
    if (kind, bits) == ("int", 8):
        return "int8-w8a8"
    if (kind, bits) == ("int", 4):
        return "int4-experts" if size == 32 else "gptq-int4"
    return None
