"""Bytes of a layer's weights on one device."""

from __future__ import annotations

from apex_opt.cost.layers import storage
from apex_opt.cost.operators import ACTIVATION_BYTES, Layer
from apex_opt.cost.rates import Rates


def dense_bytes(rates: Rates, one: Layer) -> float:
    """Return bytes of a layer without its routed experts."""
    total = float(ACTIVATION_BYTES * one.small_weights)
    for product in (*one.gemms, *([one.cross] if one.cross else [])):
        total += product.weights * storage(rates, product.quantized)[1] / 8
    return total


def expert_bytes(rates: Rates, one: Layer) -> float:
    """Return bytes of a layer's routed experts."""
    if one.experts is None:
        return 0.0
    return one.experts.local * one.experts.weights * storage(rates, "experts")[1] / 8


def layer_bytes(rates: Rates, one: Layer) -> float:
    """Return bytes of a layer that the device itself holds, what stays in host memory left out."""
    chosen = rates.shape.settings
    dense = (1.0 - chosen.weight_offload) * dense_bytes(rates, one)
    return dense + (1.0 - chosen.expert_offload) * expert_bytes(rates, one)
