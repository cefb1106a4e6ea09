"""How well the kernels of a step are known: errors of their curves, weighted by their time.

A curve that was fitted to measured kernels states the 90th percentile of its error on shapes left
out; what has no such curve, the `error_band` of its device. The errors of a step's kernels are
taken to have one sign, so that their weighted mean is the error of the whole, within which nine in
ten lie.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from apex_opt.cost import collectives, context
from apex_opt.cost.attention import context_rates, decode_cost, prompt_cost
from apex_opt.cost.curves import Array
from apex_opt.cost.experts import exchange, experts
from apex_opt.cost.formats import nearest, product_format
from apex_opt.cost.kernels import decode_curve, measured, prefill_curve
from apex_opt.cost.layers import gemm, product_kind
from apex_opt.cost.operators import ACTIVATION_BYTES, Attention, Layer, layer
from apex_opt.cost.rates import Rates
from apex_opt.cost.shape import Shape
from apex_opt.sim.totals import Totals
from apex_opt.spec.device_efficiency import Curve, ProductFormat
from apex_opt.spec.device_link import Operation

Timed = tuple[Array, float]
"""Seconds of a kernel, and the half-width of their error."""


ALONE = Totals(1, 1, 1, 0, 1, 0, 1, 0.0, 0.0, 0.0, 1, 0, 0, 1)
"""What a replica does that serves one prompt of one token."""


@dataclass(frozen=True)
class Step:
    """A mean step of a run, (1,) each.

    Attributes:
        tokens, rows: in the batch, sampled.
        context, pairs: cached tokens read, query-key pairs of prompts.
        filling: share of the steps that have prompts, as if each ended one.
        prompts: prompt tokens of such a step.
    """

    tokens: Array
    rows: Array
    context: Array
    pairs: Array
    filling: Array
    prompts: Array


def mean_step(totals: Totals) -> Step:
    """Return the mean step of a run; of one without steps, a prompt of one token."""
    if totals.steps == 0:
        totals = ALONE
    tokens = totals.prompt_tokens + totals.decode_tokens
    filling = min(max(totals.rows - totals.decode_tokens, 1), totals.steps)

    def mean(total: int, over: int = totals.steps) -> Array:
        return np.array([total / over])

    return Step(
        tokens=mean(tokens),
        rows=mean(totals.rows),
        context=mean(totals.context),
        pairs=mean(totals.pairs),
        filling=mean(filling),
        prompts=mean(totals.prompt_tokens, filling),
    )


def kernel_error(shape: Shape, totals: Totals) -> float:
    """Return the relative half-width of the time of a replica's kernels: 0.15 is 15 percent.

    Args:
        shape: the replica.
        totals: what it did; the mean step says which kernels take how much of the time.
    """
    step = mean_step(totals)
    timed = [
        (count * float(seconds[0]), width)
        for stage, counts in enumerate(shape.stage_counts())
        for here in [shape.at(stage)]
        for name, count in counts.items()
        for seconds, width in _layer(Rates(here), layer(shape.model.layers[name], here), step)
    ]
    return sum(s * width for s, width in timed) / sum(s for s, _ in timed)


def _width(rates: Rates, curve: Curve, *, own: bool = True) -> float:
    """Return the half-width of a curve; where it only stands in, no less than the device's band."""
    band = rates.device.efficiency.error_band
    if curve.error is None:
        return band
    return curve.error[1] / 100 if own else max(curve.error[1] / 100, band)


def _of_format(rates: Rates, curves: Mapping[ProductFormat, Curve], name: ProductFormat) -> float:
    """Return the half-width of products, or of experts, in a format."""
    return _width(rates, nearest(curves, name), own=name in curves)


def _layer(rates: Rates, one: Layer, step: Step) -> Iterator[Timed]:
    """Yield the kernels of a layer, those of norms and sums left out."""
    shape, known = rates.shape, rates.device.efficiency
    for product in one.gemms:
        name = product_kind(rates, product.quantized)
        width = _of_format(rates, known.products, name)
        yield gemm(rates, product, step.tokens).seconds, width
    if one.experts is not None:
        visitors = step.tokens * shape.attention_data
        width = _of_format(rates, known.experts, product_format(rates.device, shape.weights))
        yield experts(rates, one.experts, visitors).seconds, width
        sent = exchange(shape, one.experts, step.tokens)
        yield sent, _wire(rates, "all_to_all", shape.stage_devices)
    size = ACTIVATION_BYTES * step.tokens * shape.model.hidden_size
    waited = one.all_reduces * collectives.all_reduce(shape, size)
    yield waited, _wire(rates, "all_reduce", shape.tensor)
    merged = step.rows if one.attention.kind == "latent" else step.tokens
    exchanged = context.exchange(shape, one.attention, merged)
    yield exchanged, _wire(rates, "all_gather", shape.context)
    yield from _attention(rates, one.attention, step)


def _attention(rates: Rates, a: Attention, step: Step) -> Iterator[Timed]:
    """Yield attention of decoding sequences and of prompts."""
    per, own = context_rates(rates, a), measured(rates, a)
    seen = np.minimum(step.context, step.rows * (a.window or 0))
    read = per.context.seconds * step.context + per.window.seconds * seen
    read = read + per.state.seconds * step.rows + decode_cost(rates, a, step.rows).seconds
    yield read, _width(rates, decode_curve(rates, a)[0], own=own[1])
    pairs = (per.pair.seconds + per.window_pair.seconds) * step.pairs
    prompts = pairs + step.filling * prompt_cost(rates, a, step.prompts).seconds
    yield prompts, _width(rates, prefill_curve(rates, a)[0], own=own[0])


def _wire(rates: Rates, operation: Operation, devices: int) -> float:
    """Return the half-width of a collective; across nodes none is measured."""
    wire = rates.shape.pool.wire
    known = wire.collectives.get(operation, wire) if wire.peer_access else wire.host
    return _width(rates, known, own=devices <= rates.shape.pool.node_devices)
