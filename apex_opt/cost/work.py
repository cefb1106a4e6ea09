"""Work that the model itself asks for, without padding or copies: what MFU and MBU count.

A token costs 2 operations per weight that it passes; attention costs 2 (head + value width) per
head and query-key pair, latent attention in its expanded form, sparse latent attention in its
absorbed one. A step reads all weights once, of a mixture of E experts those that its n tokens
visit (`apex_opt.cost.experts.read_share`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from apex_opt.cost.encoder import encoder_shape, projector, span
from apex_opt.cost.experts import read_share
from apex_opt.cost.layers import storage
from apex_opt.cost.operators import ACTIVATION_BYTES, layer
from apex_opt.cost.rates import Rates
from apex_opt.cost.shape import Shape
from apex_opt.sim.totals import Totals


@dataclass(frozen=True)
class ModelWork:
    """Work of the whole model, all devices of a replica together.

    Attributes:
        token_flops: operations per token, without head and attention.
        row_flops: operations of the LM head per sampled token.
        pair_flops: operations per query-key pair.
        context_bytes: bytes of cache read per cached token of a decoding sequence.
        weight_bytes: bytes of all weights but routed experts.
        experts: (bytes of routed experts, experts that a token visits, all of them) by kind of
            layer.
        ranks: attention-data-parallel ranks that share the experts; a step of each is one step.
        encoder_flops: operations per token that the encoder reads, and on the way from it.
        encoder_pair_flops: operations per query-key pair of an encoder's input of any length.
            Bytes that the encoder reads are not counted.
    """

    token_flops: float
    row_flops: float
    pair_flops: float
    context_bytes: float
    weight_bytes: float
    experts: tuple[tuple[float, int, int], ...]
    ranks: int = 1
    encoder_flops: float = 0.0
    encoder_pair_flops: float = 0.0

    def flops(self, totals: Totals) -> float:
        """Return the operations of a run."""
        tokens = totals.prompt_tokens + totals.decode_tokens
        attended = totals.pairs + totals.context
        encoder = self.encoder_flops * totals.encoder_tokens
        encoder += self.encoder_pair_flops * totals.encoder_pairs
        own = self.token_flops * tokens + self.row_flops * totals.rows + self.pair_flops * attended
        return own + encoder

    def bytes(self, totals: Totals) -> float:
        """Return the bytes of weights and cache that a run reads.

        Experts that a step visits are counted at the mean batch of two kinds of step: those that
        end a prompt, as if they held all prompt tokens, one prompt each, and the others. At the
        mean of both, few large steps would seem to touch the experts of many small ones.
        """
        if totals.steps == 0:
            return 0.0
        decoding = totals.decode_tokens / totals.steps
        filling = min(max(totals.rows - totals.decode_tokens, 0), totals.steps)
        if totals.prompt_tokens and not filling:  # prompts that were cut off by the end
            filling = totals.steps
        touched = (totals.steps - filling) * self._visited(decoding)
        if filling:
            touched += filling * self._visited(decoding + totals.prompt_tokens / filling)
        return self.weight_bytes * totals.steps + touched + self.context_bytes * totals.context

    def _visited(self, batch: float) -> float:
        """Return a rank's part of the bytes of experts that a step of `batch` tokens visits."""
        tokens = batch * self.ranks
        read = (size * float(read_share(k, e, np.array(tokens))) for size, k, e in self.experts)
        return sum(read) / self.ranks


def model_work(shape: Shape) -> ModelWork:
    """Return the work of the model of `shape`. Windows are not cut off: an upper bound of use."""
    whole = replace(
        shape, tensor=1, expert=1, attention_data=1, context=1
    )  # what TP copies to every device counts once
    model, rates = whole.model, Rates(whole)
    token = pair = context = weights = 0.0
    experts: list[tuple[float, int, int]] = []
    for name, count in model.counts().items():
        one = layer(model.layers[name], whole)
        token += count * (2.0 * sum(g.weights for g in one.gemms) + one.attention.token_flops)
        weights += count * sum(g.weights * storage(rates, g.quantized)[1] / 8 for g in one.gemms)
        pair += count * one.attention.pair_flops
        context += count * one.attention.kv_bytes
        if one.experts is not None:
            held = count * one.experts.local * one.experts.weights
            top_k, total = one.experts.top_k, one.experts.total
            token += 2.0 * held * top_k / total
            experts.append((held * storage(rates, "experts")[1] / 8, top_k, total))
    head = model.hidden_size * model.vocab_size
    encoder, encoder_pair = _encoder_work(whole)
    return ModelWork(
        token_flops=token,
        row_flops=2.0 * head,
        pair_flops=pair,
        context_bytes=context,
        weight_bytes=weights + ACTIVATION_BYTES * head,
        experts=tuple(experts),
        ranks=shape.attention_data,
        encoder_flops=encoder,
        encoder_pair_flops=encoder_pair,
    )


def _encoder_work(whole: Shape) -> tuple[float, float]:
    """Return the operations of an encoder, per token that it reads and per query-key pair."""
    small, vision = encoder_shape(whole), whole.model.vision
    if small is None:
        return 0.0, 0.0
    token = pair = 0.0
    for name, count in small.model.counts().items():
        one = layer(small.model.layers[name], small)
        token += count * 2.0 * sum(g.weights for g in one.gemms)
        pair += count * one.attention.pair_flops
    for name, count in whole.model.counts().items():
        cross = layer(whole.model.layers[name], whole).cross
        token += count * 2.0 * cross.weights if cross is not None else 0.0
    if vision is not None:
        token += 2.0 * projector(vision, small).weights * vision.tokens / vision.patches
    seen = span(whole.model)
    return (token, pair) if seen is None else (token + pair * seen, 0.0)
