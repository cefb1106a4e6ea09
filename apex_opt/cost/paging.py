"""How the KV cache of a stage is cut into blocks: what a block takes, what a sequence holds.

A block stands for `block_size` tokens in the layers that keep all of them; where the tokens of a
sequence are spread over devices, for as many on each. What sliding-window layers hold depends on
the engine:

    whole   all tokens, as the others do (vLLM before 0.9.1)
    window  the blocks over which a window can lie, a share of a block for each (vLLM's hybrid KV
            cache manager; TensorRT-LLM's windowed pools)
    pool    a pool of their own with room for 0.8 of the tokens (SGLang): a longer block

Where every layer has a window, no layer keeps all tokens, and a block is one of the window. With
prefix caching such a model is held whole: what is cached must not have gaps.

Sources: vLLM docs, design/hybrid_kv_cache_manager.md, and pulls 14097, 17996; SGLang 0.5.23,
srt/server_args.py `swa_full_tokens_ratio`; TensorRT-LLM docs, KvCacheConfig `max_attention_window`.
The tokens of a prompt's chunk that vLLM holds beside the window until the next step are left out.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from apex_opt.cost.operators import Layer
from apex_opt.cost.shape import Shape
from apex_opt.spec.model import SoftmaxAttention

POOL_SHARE = 0.8
"""Tokens for which SGLang's pool of window layers has room, as a share of the others."""

PPM = 1_000_000


@dataclass(frozen=True)
class Paging:
    """The blocks of a stage.

    Attributes:
        page: bytes of a block on one device.
        token_blocks: blocks for each `block_size` tokens: 1, or 0 where no layer keeps them all.
        window_limit: sliding-window layers keep at most so many times `block_size` tokens,
        window_ppm: and take for each so many millionths of a block.
        sequence_blocks: blocks that a sequence holds beside its tokens: recurrent state.
        encoder_blocks: blocks of the longest input of an encoder, which a sequence keeps.
    """

    page: int
    token_blocks: int = 1
    window_limit: int = 0
    window_ppm: int = 0
    sequence_blocks: int = 0
    encoder_blocks: int = 0

    def needed(self, tokens: int, block_size: int) -> int:
        """Return the blocks of a sequence with so many tokens in the cache, at most."""
        full = -(-tokens // block_size)
        windows = -(-min(full, self.window_limit) * self.window_ppm // PPM)
        return self.token_blocks * full + windows + self.sequence_blocks + self.encoder_blocks

    def tokens(self, blocks: int, longest: int, block_size: int) -> int:
        """Return the tokens that so many blocks hold, with windows those of longest sequences."""
        if not self.window_ppm:
            return blocks * block_size
        return blocks * longest // self.needed(longest, block_size)


def windows(shape: Shape) -> dict[str, int]:
    """Return the windows of layers that hold less than a whole context, tokens, by kind."""
    return {
        name: window
        for name, kind in shape.model.layers.items()
        if isinstance(kind.attention, SoftmaxAttention)
        and (window := kind.attention.window_tokens) is not None
        and window < shape.settings.max_model_len
    }


def keeps_tokens(shape: Shape) -> bool:
    """Return whether blocks of prompts can be kept for others: no layer forgets them.

    Recurrent layers have a state in place of tokens; where all layers have windows, none keeps all.
    """
    kinds = shape.model.layers
    recurrent = any(kind.attention.kind == "linear" for kind in kinds.values())
    return not recurrent and len(windows(shape)) < len(kinds)


def paging(shape: Shape, counts: dict[str, int], kinds: dict[str, Layer]) -> Paging:
    """Return the blocks of a stage that has so many layers of each kind."""

    def held(name: str) -> float:
        attention = kinds[name].attention
        return counts[name] * (attention.kv_bytes + attention.index_bytes)

    block, rule, short = shape.block_tokens, shape.release.window_cache, windows(shape)
    whole = sum(held(name) for name in counts if name not in short)
    windowed = sum(held(name) for name in counts if name in short)
    state = sum(count * kinds[name].attention.state_bytes for name, count in counts.items())
    longest = max((short[name] for name in counts if name in short), default=1)
    limit = -(-(longest - 1) // block) + 1
    if not whole and not windowed:  # recurrent layers alone: a block is the state of a sequence
        return Paging(max(state, 1), token_blocks=0, sequence_blocks=1 if state else 0)
    if not windowed or rule == "whole" or (not whole and shape.settings.prefix_caching):
        encoder = -(-shape.settings.max_encoder_tokens // block)
        found = Paging(math.ceil((whole + windowed) * block), encoder_blocks=encoder)
    elif rule == "pool":
        share = POOL_SHARE if whole else 1.0
        found = Paging(math.ceil((whole + share * windowed) * block))
    elif whole:
        ppm = math.ceil(PPM * windowed / whole)
        found = Paging(math.ceil(whole * block), window_limit=limit, window_ppm=ppm)
    else:
        found = Paging(
            math.ceil(windowed * block), token_blocks=0, window_limit=limit, window_ppm=PPM
        )
    return _with_state(found, state)


def _with_state(found: Paging, state: int) -> Paging:
    blocks = math.ceil(state / found.page)
    return replace(found, sequence_blocks=blocks)
