"""Time and energy of one layer for every batch size at once.

`tokens` is an array of batch sizes; what is returned are arrays of the same length, for one device.
What grows with contexts or with the number of sequences is in `apex_opt.cost.attention`.
"""

from __future__ import annotations

import numpy as np

from apex_opt.cost import collectives
from apex_opt.cost.attention import token_cost
from apex_opt.cost.curves import Array, product_seconds
from apex_opt.cost.experts import exchange, experts
from apex_opt.cost.formats import format_precision, nearest, product_format, quantize_seconds
from apex_opt.cost.operators import ACTIVATION_BYTES, Gemm, Layer
from apex_opt.cost.rates import Cost, Rates, half_precision
from apex_opt.spec.device_efficiency import ProductFormat
from apex_opt.spec.pools import Precision
from apex_opt.spec.quantization import WeightFormat

INPUT_BYTES: dict[ProductFormat, float] = {"fp8": 1, "fp8-block": 1, "int8": 1, "fp4": 0.5625}
"""Bytes of an input value of a product that quantises its inputs; others read 16 bits."""


def gemm(rates: Rates, product: Gemm, tokens: Array) -> Cost:
    """Return the cost of a matrix product of `tokens` rows."""
    name = product_kind(rates, product.quantized)
    precision, bits = storage(rates, product.quantized)
    flops = 2.0 * tokens * product.weights
    moved = product.weights * bits / 8 + ACTIVATION_BYTES * tokens * product.n
    moved = moved + INPUT_BYTES.get(name, ACTIVATION_BYTES) * tokens * product.k
    seconds = product_seconds(
        nearest(rates.device.efficiency.products, name),
        rates.peak(precision),
        rates.bandwidth,
        (tokens, np.array(float(product.n)), np.array(float(product.k))),
        moved,
    )
    seconds = seconds + quantize_seconds(rates, name)
    return rates.cost(np.where(tokens > 0, seconds, 0.0), flops, moved, precision)


COVERED = {"all": {"linear", "experts", "none"}, "linear": {"linear", "experts"}}
"""Weights that a format applies to, by `applies_to`; of others the experts alone."""


def covers(weights: WeightFormat, quantized: str) -> bool:
    """Return whether weights of this kind are in the format, or stay in 16 bits."""
    return quantized in COVERED.get(weights.applies_to, {"experts"})


def product_kind(rates: Rates, quantized: str) -> ProductFormat:
    """Return how a product runs, in the weights' format or in 16 bits.

    Raises:
        ValueError: the device cannot compute in this format; enumeration leaves such replicas out.
    """
    weights = rates.shape.weights
    if not covers(weights, quantized):
        return half_precision(rates.device)
    return product_format(rates.device, weights)


def storage(rates: Rates, quantized: str) -> tuple[Precision, float]:
    """Return the precision of a product and the bits of its weights.

    Raises:
        ValueError: as `product_kind`.
    """
    precision = format_precision(rates.device, product_kind(rates, quantized))
    return precision, rates.shape.weights.bits if covers(rates.shape.weights, quantized) else 16.0


def elementwise(rates: Rates, bytes_per_token: float, tokens: Array) -> Cost:
    """Return the cost of norms, activation and residual sums."""
    moved = bytes_per_token * tokens
    seconds = moved / (rates.bandwidth * rates.device.efficiency.elementwise_memory)
    return rates.cost(seconds, np.zeros_like(moved), moved, half_precision(rates.device))


def layer_cost(rates: Rates, one: Layer, tokens: Array) -> Cost:
    """Return the cost of a layer without attention over contexts."""
    total, feeding = elementwise(rates, one.elementwise_bytes, tokens), np.zeros_like(tokens)
    hidden_size = rates.shape.model.hidden_size
    for product in one.gemms:
        cost = gemm(rates, product, tokens)
        total = total + cost
        feeding = feeding + (cost.seconds if product.n == hidden_size else 0.0)
    if one.experts is not None:
        visitors = tokens * rates.shape.attention_data
        cost = experts(rates, one.experts, visitors)
        total = total + cost
        feeding = feeding + cost.seconds
        total = total + rates.communication(exchange(rates.shape, one.experts, tokens))
    total = total + token_cost(rates, one.attention, tokens)
    if one.all_reduces:
        size = ACTIVATION_BYTES * tokens * hidden_size
        wait = one.all_reduces * collectives.all_reduce(rates.shape, size)
        total = reduced(rates, total, wait, feeding)
    return total


def reduced(rates: Rates, layer: Cost, wait_s: Array, feeding_s: Array) -> Cost:
    """Return the cost of a layer and its all-reduces, of which a part hides behind what feeds them.

    What is hidden draws power on top of what hides it, up to the limit of the device.

    Args:
        rates: of the device.
        layer: the layer without them.
        wait_s: seconds of the all-reduces by themselves.
        feeding_s: seconds of the products and experts that feed them: no more can hide.
    """
    hidden_s = np.minimum(rates.shape.settings.collective_overlap * wait_s, feeding_s)
    seconds = layer.seconds + wait_s - hidden_s
    joules = layer.joules + rates.communication(wait_s).joules
    return Cost(seconds, np.minimum(joules, rates.dynamic_w * rates.shape.pool.pue * seconds))
