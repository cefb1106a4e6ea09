"""Operations that the model itself asks for, without padding or copies: what MFU counts.

A token costs 2 operations per weight that it passes; attention costs 2 (head + value width) per
head and query-key pair. Latent attention is counted in its expanded form, sparse and sliding
attention up to the window.
"""

from __future__ import annotations

from dataclasses import dataclass

from apex_opt.cost.operators import layer
from apex_opt.cost.shape import Shape


@dataclass(frozen=True)
class ModelWork:
    """Work of the whole model, all devices of a replica together.

    Attributes:
        token_flops: operations per token, without head and attention.
        row_flops: operations of the LM head per sampled token.
        pair_flops, window_pair_flops: operations per query-key pair, layers without and with
            window.
        context_bytes, window_bytes: bytes of cache read per cached token of a decoding sequence.
    """

    token_flops: float
    row_flops: float
    pair_flops: float
    window_pair_flops: float
    context_bytes: float
    window_bytes: float


def model_work(shape: Shape) -> ModelWork:
    """Return the work of the model of `shape` per token, pair and cached token."""
    model = shape.model
    token, pair, window_pair, context, window = 0.0, 0.0, 0.0, 0.0, 0.0
    for name, count in model.counts().items():
        one = layer(model.layers[name], shape)
        token += count * 2.0 * sum(g.weights for g in one.gemms) * shape.tensor
        if one.experts is not None:
            split = 1 if one.experts.ranks > 1 else shape.tensor
            token += count * 2.0 * one.experts.top_k * one.experts.weights * split
        a = one.attention
        pairs, read = count * a.pair_flops * shape.tensor, count * a.kv_bytes * shape.tensor
        if a.window is None:
            pair, context = pair + pairs, context + read
        else:
            window_pair, window = window_pair + pairs, window + read
    return ModelWork(
        token_flops=token,
        row_flops=2.0 * model.hidden_size * model.vocab_size,
        pair_flops=pair,
        window_pair_flops=window_pair,
        context_bytes=context,
        window_bytes=window,
    )
