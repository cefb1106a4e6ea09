"""Number formats on a device: in which precision products run, and which curve times them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from apex_opt.cost.rates import Rates, compute_precision, half_precision
from apex_opt.spec.device_efficiency import AttentionFormat, ProductFormat
from apex_opt.spec.pools import Device, Precision
from apex_opt.spec.quantization import KvFormat, WeightFormat

T = TypeVar("T")

NEAREST: dict[ProductFormat, tuple[ProductFormat, ...]] = {
    "fp32": ("bf16", "fp16"),
    "fp16": ("bf16", "fp32"),
    "bf16": ("fp16", "fp32"),
    "fp8": ("fp8-block", "int8", "bf16", "fp16"),
    "fp8-block": ("fp8", "int8", "bf16", "fp16"),
    "int8": ("fp8", "fp8-block", "bf16", "fp16"),
    "fp4": ("fp8", "fp8-block", "bf16", "fp16"),
    "weight-only-8": ("weight-only-4", "bf16", "fp16"),
    "weight-only-4": ("weight-only-8", "bf16", "fp16"),
}
"""Whose curve stands in for a format that is not measured: kernels of the same kind come first."""

PRECISIONS: dict[ProductFormat, Precision] = {
    "fp32": "fp32",
    "fp16": "fp16",
    "bf16": "bf16",
    "fp8": "fp8",
    "fp8-block": "fp8",
    "int8": "int8",
    "fp4": "fp4",
}
"""Precision of each format; the others expand their weights to 16 bits."""

NARROW_BITS = 6.0
"""Weight-only formats up to this many bits run as 4-bit kernels."""


def product_format(device: Device, weights: WeightFormat) -> ProductFormat:
    """Return how products of `weights` run on a device.

    Raises:
        ValueError: the device cannot compute in this format; enumeration leaves such replicas out.
    """
    precision = compute_precision(device, weights)
    if precision is None:
        raise ValueError(f"{device.name} does not compute in {weights.name}")
    if weights.bits < 16 and weights.compute != precision:
        return "weight-only-4" if weights.bits <= NARROW_BITS else "weight-only-8"
    return "fp8-block" if precision == "fp8" and weights.block else precision


def format_precision(device: Device, name: ProductFormat) -> Precision:
    """Return the precision whose peak bounds products of a format."""
    return PRECISIONS.get(name) or half_precision(device)


def nearest(curves: Mapping[ProductFormat, T], name: ProductFormat) -> T:
    """Return the curve of a format, or of the nearest one that is known."""
    for candidate in (name, *NEAREST[name]):
        if candidate in curves:
            return curves[candidate]
    return next(iter(curves.values()))


def attention_format(
    device: Device, curves: Mapping[AttentionFormat, object], cache: KvFormat
) -> tuple[AttentionFormat, Precision]:
    """Return how attention over a cache runs, and in which precision.

    Over an 8-bit cache queries are quantised too where the device has such kernels, as its curves
    say; else the cache is expanded to 16 bits. Every device has the curve of 16 bits.
    """
    if cache.bytes_per_element <= 1 and "fp8" in curves and "fp8" in device.peak_tflops:
        return "fp8", "fp8"
    return "bf16", half_precision(device)


def quantize_seconds(rates: Rates, name: ProductFormat) -> float:
    """Return what an engine's own kernels take that quantise the inputs of a product.

    Per token only their start counts: the curves of `fp8` and `int8` were measured with such
    kernels, and one floor for all narrow products leaves out just that.
    """
    own = rates.shape.release.overheads
    return own.quantize_us * 1e-6 if name in {"fp8", "fp8-block", "int8"} else 0.0
