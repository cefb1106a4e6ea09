"""What each layer of a stage takes in one given step: the numbers of the placement model."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from apex_opt.cost.attention import context_rates, decode_cost, prompt_cost
from apex_opt.cost.context import merge_cost
from apex_opt.cost.layers import layer_cost
from apex_opt.cost.operators import Layer, layer
from apex_opt.cost.rates import Cost, Rates
from apex_opt.cost.shape import Shape
from apex_opt.cost.step_parts import embedding, head


@dataclass(frozen=True)
class Step:
    """A step: sequences that decode, or the prompt of one.

    Attributes:
        tokens: of the batch; as many sequences where they decode.
        context: tokens in the cache of each decoding sequence, this one included; 0: a prompt.
    """

    tokens: int
    context: int = 0


@dataclass(frozen=True)
class StageTimes:
    """Seconds of a step on one device.

    Attributes:
        layers: of one layer of each kind.
        first: what the first stage takes beside its layers: embedding, overhead of the engine.
        last: the same of the last one: the head.
    """

    layers: dict[str, float]
    first: float
    last: float


def stage_times(shape: Shape, step: Step) -> StageTimes:
    """Return what layers and ends take in a step, on the devices where the first stage stands.

    Raises:
        ValueError: the device cannot compute in the shape's weight format.
    """
    rates = Rates(shape)
    tokens = np.array([float(step.tokens)])
    rows = tokens if step.context else np.ones(1)
    kinds = {name: layer(kind, shape) for name, kind in shape.model.layers.items()}
    return StageTimes(
        layers={name: float(_layer(rates, one, step).seconds[0]) for name, one in kinds.items()},
        first=float(embedding(rates, tokens).seconds[0]),
        last=float(head(rates, rows).seconds[0]),
    )


def _layer(rates: Rates, one: Layer, step: Step) -> Cost:
    attention, tokens = one.attention, np.array([float(step.tokens)])
    each, window = context_rates(rates, attention), attention.window or 0
    total = layer_cost(rates, one, tokens)
    if step.context or attention.kind != "latent":
        total = total + merge_cost(rates, attention, tokens)
    if step.context:
        read = step.tokens * step.context
        seen = step.tokens * min(step.context, window)
        total = total + each.state * step.tokens + decode_cost(rates, attention, tokens)
        return total + each.context * read + each.window * seen
    pairs = step.tokens * (step.tokens + 1) / 2
    eager_s = rates.shape.release.overheads.eager_layer_us * 1e-6
    total = total + each.state + prompt_cost(rates, attention, tokens)
    total = total + each.pair * pairs + each.window_pair * min(pairs, step.tokens * window)
    return total + Cost(np.array([eager_s]), np.zeros(1))
