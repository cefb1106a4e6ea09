"""The encoder of a model as a stack of layers of its own: what its pass costs, what it holds.

It runs in the step in which a request is admitted, over all of what it reads, outside CUDA graphs.
That of an encoder-decoder model is followed by the keys and values which the decoder's layers make
of it, once, and is quantised as the decoder is. That of images has 16 bits, and stands on the first
stage. A tensor group shares either as it shares other layers, or (vLLM, `--mm-encoder-tp-mode
data`) each device has the whole encoder of images, and encodes its part of them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from apex_opt.cost import collectives
from apex_opt.cost.attention import context_rates, history_rate, prompt_cost
from apex_opt.cost.curves import Array
from apex_opt.cost.layers import gemm, layer_cost
from apex_opt.cost.operators import ACTIVATION_BYTES, Gemm, Layer, layer
from apex_opt.cost.rates import Cost, Rates, half_precision, nothing
from apex_opt.cost.shape import Shape
from apex_opt.cost.weights import layer_bytes
from apex_opt.spec import catalog
from apex_opt.spec.model import Model, Repeat, Vision
from apex_opt.spec.parameters import vision_layer


def encoder_shape(shape: Shape) -> Shape | None:
    """Return the encoder as a model of its own, where the first stage is; None: it has none."""
    shape = shape.at(0)
    model, weights, tensor = shape.model, shape.weights, shape.tensor
    half = "fp16" if half_precision(shape.pool.device) == "fp16" else "bf16"
    if model.encoder is not None:
        stack = {key: getattr(model.encoder, key) for key in ("layers", "pattern")}
        extra = model.encoder.extra_parameters
    elif model.vision is not None:
        vision = model.vision
        run = Repeat(layers=("vision",), repeat=vision.layers)
        stack = {"layers": {"vision": vision_layer(vision)}, "pattern": (run,)}
        stack["hidden_size"], extra = vision.hidden_size, vision.extra_parameters
        weights = catalog.weight_format(half)
        tensor = 1 if shape.settings.encoder_by_data else tensor
    else:
        return None
    own = model.model_copy(
        update={**stack, "extra_parameters": extra, "encoder": None, "vision": None}
    )
    return replace(
        shape,
        model=own,
        settings=replace(shape.settings, drafts=None, weight_offload=0.0, expert_offload=0.0),
        weights=weights,
        kv_cache=catalog.kv_format(half),
        tensor=tensor,
        expert=1,
        attention_data=1,
        context=1,
        stage_layers=(len(own.sequence()),),
    )


def span(model: Model) -> int | None:
    """Return the tokens that see each other in the encoder; None: as many as a request has."""
    if model.vision is not None:
        return model.vision.tile_patches or model.vision.patches
    return model.encoder.tokens if model.encoder is not None else None


@dataclass(frozen=True)
class Encoding:
    """What the encoder's pass costs, one device, on the first stage.

    Attributes:
        tokens: by tokens that it reads, at the sizes that were asked for.
        pair: per query-key pair of an input of any length.
    """

    tokens: Cost
    pair: Cost


def encoding(shape: Shape, tokens: Array) -> Encoding | None:
    """Return what it costs to read so many tokens; None where there is no encoder."""
    shape = shape.at(0)
    small = encoder_shape(shape)
    if small is None:
        return None
    rates, model = Rates(small), small.model
    share = _share(shape, small, tokens)
    total, pair, seen = nothing(len(tokens)), nothing(1), span(shape.model)
    for name, count in model.counts().items():
        one = layer(model.layers[name], small)
        total = total + layer_cost(rates, one, share) * count
        total = total + prompt_cost(rates, one.attention, share) * count
        pair = pair + context_rates(rates, one.attention).pair * count
    if seen is not None:
        total, pair = total + _times(pair, share * seen), nothing(1)
    eager_s = shape.release.overheads.eager_layer_us * 1e-6 * len(model.sequence())
    total = total + Cost(np.where(tokens > 0, eager_s, 0.0), np.zeros(len(tokens)))
    if shape.model.vision is not None:
        return Encoding(total + _projected(shape, rates, shape.model.vision, tokens), pair)
    return Encoding(total + _crossed(shape, tokens), pair)


def _share(shape: Shape, small: Shape, tokens: Array) -> Array:
    """Return the tokens that the fullest device of a group reads: of images, whole ones."""
    vision, devices = shape.model.vision, shape.tensor // small.tensor
    if vision is None or devices == 1:
        return tokens
    images = np.ceil(tokens / vision.patches / devices)
    return np.asarray(np.minimum(tokens, images * vision.patches))


def _times(rate: Cost, amount: Array) -> Cost:
    return Cost(rate.seconds * amount, rate.joules * amount)


def _projected(shape: Shape, rates: Rates, vision: Vision, patches: Array) -> Cost:
    """Return what leads from patches to tokens of the model, on every device of the group."""
    tokens = patches * vision.tokens / vision.patches
    share = _share(shape, rates.shape, patches) * vision.tokens / vision.patches
    cost = gemm(rates, projector(vision, rates.shape), share)
    if rates.shape.tensor == shape.tensor:
        return cost
    size = ACTIVATION_BYTES * tokens * shape.model.hidden_size
    return cost + Rates(shape).communication(collectives.all_gather(shape, size))


def projector(vision: Vision, small: Shape) -> Gemm:
    """Return the products of the projector as one, with as many weights."""
    columns = vision.projector_parameters / vision.hidden_size / small.tensor
    return Gemm(vision.hidden_size, math.ceil(columns), "none")


def _crossed(shape: Shape, tokens: Array) -> Cost:
    """Return making keys and values for the decoder's layers, and writing and reading them once."""
    rates, total = Rates(shape), nothing(len(tokens))
    for name, count in shape.stage_counts()[0].items():
        one = layer(shape.model.layers[name], shape)
        if one.cross is not None:
            moved = _times(history_rate(rates, one.attention), 2.0 * tokens)
            total = total + (gemm(rates, one.cross, tokens) + moved) * count
    return total


def encoder_bytes(shape: Shape) -> float:
    """Return bytes of the encoder's weights on a device of the first stage; 0 where it has none."""
    small = encoder_shape(shape)
    if small is None:
        return 0.0
    rates, model, vision = Rates(small), small.model, shape.model.vision
    total = float(ACTIVATION_BYTES * model.extra_parameters)
    for name, count in model.counts().items():
        total += count * layer_bytes(rates, layer(model.layers[name], small))
    return total + (ACTIVATION_BYTES * projector(vision, small).weights if vision else 0.0)


def encoder_activations(shape: Shape) -> tuple[float, float]:
    """Return bytes of the widest buffers of the encoder's pass, and of what it keeps for the model.

    It reads as much as the token budget, or one whole input if that is longer (vLLM's encoder
    budget, and its encoder cache of the same number of tokens).
    """
    small = encoder_shape(shape)
    if small is None:
        return 0.0, 0.0
    budget, vision = shape.settings.max_num_batched_tokens, shape.model.vision
    read = max(budget, vision.patches if vision else shape.settings.max_encoder_tokens)
    kept = max(budget, vision.tokens) if vision else read
    hidden = small.model.hidden_size
    widest = max(_widest(layer(kind, small)) for kind in small.model.layers.values())
    forward = read * small.tensor / shape.tensor * (2 * hidden + widest)
    return ACTIVATION_BYTES * forward, float(ACTIVATION_BYTES * kept * shape.model.hidden_size)


def _widest(one: Layer) -> int:
    return max(g.n + g.k for g in one.gemms)
