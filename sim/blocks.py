"""What a sequence holds: blocks of its tokens, fixed ones, and those of the tree of prefixes.

token_blocks x ceil(cached tokens / block size) + the fixed ones of a sequence, taken when tokens
are scheduled, or all at admission. The last token of a request is never cached: P + O - 1 is the
most.
"""

from __future__ import annotations

from apex_opt.sim.jit import njit_helper
from apex_opt.sim.prefix import leave, make_room
from apex_opt.sim.state import PREFILL, Given, Machine, State

PPM = 1_000_000


@njit_helper
def fixed(g: Given, s: State, index: int) -> int:
    """Return the blocks that a request holds beside those of its tokens."""
    blocks = g.sequence_blocks + blocks_of(g, crossed(g, s, index))
    if g.window_ppm == 0:
        return blocks
    request = s.requests[index]
    output = 1 if g.role == PREFILL else request.output
    most = (request.prompt + output - 2 + g.block_tokens) // g.block_tokens
    windows = min(most, g.window_limit) * g.window_ppm
    return blocks + (windows + PPM - 1) // PPM


@njit_helper
def crossed(g: Given, s: State, index: int) -> int:
    """Return the encoder's tokens that a request keeps in the cache, beside its own."""
    return s.more[index].encoder if g.cross_cache and g.encodes else 0


@njit_helper
def blocks_of(g: Given, tokens: int) -> int:
    """Return the blocks of so many tokens."""
    return g.token_blocks * ((tokens + g.block_tokens - 1) // g.block_tokens)


@njit_helper
def held(g: Given, s: State, index: int, tokens: int) -> int:
    """Return the blocks that a request has taken with so many tokens in the cache."""
    request = s.requests[index]
    if g.reserve_output:
        tokens = request.prompt + request.output - 1
    return blocks_of(g, tokens) + fixed(g, s, index)


@njit_helper
def take(g: Given, m: Machine, s: State, blocks: int) -> None:
    """Take free blocks."""
    m.free -= blocks
    if g.prefix_caching:
        make_room(g, m, s.nodes)


@njit_helper
def give_back(g: Given, m: Machine, s: State, index: int, blocks: int) -> None:
    """Free blocks of a request, and what it used of the tree."""
    m.free += blocks
    if g.prefix_caching:
        leave(m, s.nodes, m.leaf + index)
