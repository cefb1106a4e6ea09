"""Memory of a replica by component, as the engine computes it, and the KV blocks that remain.

vLLM (vllm/v1/worker/gpu_worker.py, 0.19): KV bytes = utilisation x total - weights - peak
activations of a forward pass over the whole token budget - CUDA graphs - what other libraries hold.
Blocks = KV bytes / bytes of a block in all layers of the stage (`apex_opt.cost.paging`); the stage
that holds the fewest sequences fixes the number for all. SGLang's share of the total is that of
weights and cache alone (`static`; --mem-fraction-static, server_args.py 0.5.23), TensorRT-LLM's one
of what the rest leaves free (`of_free`; KvCacheConfig, free_gpu_memory_fraction).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

from apex_opt.cost.drafts import draft_shape
from apex_opt.cost.encoder import encoder_activations, encoder_bytes
from apex_opt.cost.operators import ACTIVATION_BYTES, Layer, layer
from apex_opt.cost.paging import Paging, paging
from apex_opt.cost.rates import Rates
from apex_opt.cost.shape import Shape
from apex_opt.cost.weights import layer_bytes

SAMPLER_BYTES = 26
"""Bytes that sampling holds per sequence and token of the vocabulary: logits in 16 and 32 bits,
their sorted copy with 64-bit indices, its softmax and cumulative sum. vLLM's profiling run samples
with top-k and top-p for max_num_seqs sequences (gpu_model_runner.py, `_dummy_sampler_run`). With it
the blocks of a measured run are met within 1 % (RTX 4090, vLLM 0.19: 2,588).
"""

LOGIT_BYTES = 6
"""The same of engines that profile no sampling: logits in 16 and 32 bits."""


@dataclass(frozen=True)
class MemoryUse:
    """Memory of one device, bytes, by component."""

    total: int
    weights: int
    activations: int
    graphs: int
    other: int
    reserve: int
    kv_cache: int

    @property
    def room(self) -> int:
        """Bytes left for the KV cache; negative where the rest does not fit."""
        used = self.weights + self.activations + self.graphs + self.other + self.reserve
        return self.total - used


@dataclass(frozen=True)
class Fit:
    """What fits: memory of a device of the fullest `stage`, KV blocks, and how they are cut.

    `blocks` is 0 where the weights alone do not fit; `memory.room` is then negative.
    """

    memory: MemoryUse
    blocks: int
    paging: Paging
    stage: int = 0

    @property
    def sequence_blocks(self) -> int:
        """Blocks of state per sequence."""
        return self.paging.sequence_blocks


def ends_bytes(shape: Shape, stage: int) -> float:
    """Return bytes of embedding (first stage) and head (last stage) on one device."""
    model = shape.model
    matrix = ACTIVATION_BYTES * model.vocab_size * model.hidden_size / shape.tensor
    first, last = stage == 0, stage == shape.pipeline - 1
    both_in_one = first and last and model.tied_embeddings
    extra = ACTIVATION_BYTES * model.extra_parameters if first else 0.0
    return matrix * (1 if both_in_one else first + last) + extra


def activation_bytes(shape: Shape, kinds: dict[str, Layer]) -> float:
    """Return peak activations: one layer's widest buffers over the token budget, or the logits.

    The residual stream and its copy live throughout; within a layer the widest product holds input
    and output at once.
    """
    settings, hidden = shape.settings, shape.model.hidden_size
    widest = max(
        max(g.n + g.k for g in one.gemms) + _expert_width(one, shape) for one in kinds.values()
    )
    forward = ACTIVATION_BYTES * settings.max_num_batched_tokens * (2 * hidden + widest)
    rows = min(settings.rows, settings.max_num_batched_tokens)
    each = SAMPLER_BYTES if settings.engine == "vllm" else LOGIT_BYTES
    logits = rows * shape.model.vocab_size * each
    encoder, kept = encoder_activations(shape)
    return float(max(forward, logits + ACTIVATION_BYTES * rows * hidden, encoder) + kept)


def _expert_width(one: Layer, shape: Shape) -> int:
    """Return the widest expert buffers per token of a rank: `top_k` copies of its inner vector.

    The tokens of all ranks come to the experts.
    """
    if one.experts is None:
        return 0
    inner = shape.attention_data * (one.experts.weights // shape.model.hidden_size)
    return one.experts.top_k * inner // max(one.experts.ranks, 1)


def kv_token_bytes(counts: dict[str, int], kinds: dict[str, Layer]) -> float:
    """Return bytes of one token in the cache of a stage; window layers are held whole."""
    return sum(
        count * (kinds[kind].attention.kv_bytes + kinds[kind].attention.index_bytes)
        for kind, count in counts.items()
    )


def _bare(shape: Shape, kinds: dict[str, Layer], total: int, weights: int) -> MemoryUse:
    """Return the memory of a device that holds `weights`, before reserve and cache."""
    return MemoryUse(
        total=total,
        weights=weights,
        activations=math.ceil(activation_bytes(shape, kinds)),
        graphs=math.ceil(shape.release.graph_memory_bytes) if shape.settings.graph_tokens else 0,
        other=math.ceil(shape.release.other_memory_bytes),
        reserve=0,
        kv_cache=0,
    )


def room_bytes(shape: Shape) -> tuple[int, float]:
    """Return what a device has for weights and cache, and how many bytes of it one of cache takes.

    More than one where the engine takes a share of what the weights leave (`of_free`).
    """
    kinds = {name: layer(kind, shape) for name, kind in shape.model.layers.items()}
    bare = _bare(shape, kinds, shape.pool.device.memory_bytes, 0)
    if shape.release.memory_rule != "of_free":
        return bare.room - _reserve(shape, bare), 1.0
    kept = math.ceil(bare.total * shape.reserve_fraction)
    return bare.room - kept, 1.0 / shape.settings.gpu_memory_utilization


def fit(shape: Shape) -> Fit:
    """Return how the memory of a replica is used, and the KV blocks that remain."""
    kinds = {name: layer(kind, shape) for name, kind in shape.model.layers.items()}
    draft, draft_page = _draft_bytes(shape)
    empty = _bare(shape, kinds, 0, 0)
    fits = []
    for stage, counts in _unlike_stages(shape):
        total = shape.places[stage].pool.device.memory_bytes
        first = encoder_bytes(shape.at(stage)) if stage == 0 else 0.0
        own = stage_bytes(shape.at(stage), stage, counts, kinds)
        weights = math.ceil(own + draft + first)
        cut = paging(shape, counts, kinds)
        if draft_page:
            cut = replace(cut, page=cut.page + math.ceil(draft_page))
        bare = replace(empty, total=total, weights=weights)
        bare = replace(bare, reserve=_reserve(shape, bare))
        pinned = shape.settings.num_gpu_blocks
        blocks = pinned if pinned is not None else max(bare.room // cut.page, 0)
        fits.append(Fit(replace(bare, kv_cache=blocks * cut.page), blocks, cut, stage))
    longest, block = shape.settings.max_model_len, shape.block_tokens

    def sequences(f: Fit) -> float:
        return f.blocks / max(f.paging.needed(longest, block), 1)

    return min(fits, key=lambda f: (sequences(f), f.memory.room))


def _unlike_stages(shape: Shape) -> Iterator[tuple[int, dict[str, int]]]:
    """Yield the number and the layers of each stage, of stages that are alike the first."""
    seen = set()
    for stage, counts in enumerate(shape.stage_counts()):
        end = stage if stage in {0, shape.pipeline - 1} else None
        like = (end, shape.places[stage].pool.name, *sorted(counts.items()))
        if like not in seen:
            seen.add(like)
            yield stage, counts


def stage_bytes(shape: Shape, stage: int, counts: dict[str, int], kinds: dict[str, Layer]) -> float:
    """Return bytes of a stage's weights on one device."""
    rates = Rates(shape)
    layers = sum(n * layer_bytes(rates, kinds[k]) for k, n in counts.items())
    return layers + ends_bytes(shape, stage)


def _reserve(shape: Shape, bare: MemoryUse) -> int:
    """Return what the engine and the spec leave free, the greater of both."""
    share = shape.settings.gpu_memory_utilization
    kept = bare.total - math.floor(bare.total * share)
    if shape.release.memory_rule == "static":
        kept = max(kept - bare.activations - bare.graphs - bare.other, 0)
    elif shape.release.memory_rule == "of_free":
        kept = math.ceil(max(bare.room, 0) * (1.0 - share))
    return max(kept, math.ceil(bare.total * shape.reserve_fraction))


def _draft_bytes(shape: Shape) -> tuple[float, float]:
    """Return bytes of the weights of what guesses, and of its cache in each block.

    One more layer of the target shares its embedding and head.
    """
    small = draft_shape(shape)
    if small is None:
        return 0.0, 0.0
    kinds = {name: layer(kind, small) for name, kind in small.model.layers.items()}
    counts = small.model.counts()
    weights = stage_bytes(small, 0, counts, kinds)
    if shape.settings.drafts is not None and shape.settings.drafts.layer:
        weights -= ends_bytes(small, 0)
    return weights, kv_token_bytes(counts, kinds) * shape.block_tokens
