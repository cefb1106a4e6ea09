"""The head of the queue: what it finds in the cache, what it takes, and whether there is room."""

from __future__ import annotations

from apex_opt.sim.blocks import PPM, blocks_of, fixed, held, take
from apex_opt.sim.cohort import append
from apex_opt.sim.jit import njit_helper
from apex_opt.sim.prefix import cached_blocks, enter, host_use, kept_blocks, unused_blocks, use
from apex_opt.sim.queue import first_in_queue, leave_queue
from apex_opt.sim.running import prefill
from apex_opt.sim.state import DECODE, NOBODY, Batch, Given, Machine, State

CLIPPED = 4096
"""Most tokens of one sequence for which room is kept (SGLang, CLIP_MAX_NEW_TOKENS)."""


@njit_helper
def admit(g: Given, m: Machine, s: State, batch: Batch) -> bool:
    """Admit the head of the queue; return whether it could be."""
    left = g.max_batch_tokens - batch.decode_tokens - batch.prompt_tokens
    if left == 0 or m.running == g.max_seqs or m.waiting == 0:
        return False
    if s.cohorts[batch.cohort].partial != NOBODY:
        return False
    index = first_in_queue(g, m, s)
    request = s.requests[index]
    if g.role == DECODE and request.made == 0:
        return False  # its cache is still to come
    length = request.prompt + request.made
    found = kept = unused = 0  # blocks of the prompt: in the cache; there or in host memory
    if g.prefix_caching:
        leaf = m.leaf + index
        kept = found = cached_blocks(s.nodes, leaf)
        if g.host_blocks:
            kept = max(found, min(kept_blocks(s.nodes, leaf), (length - 1) // g.block_tokens))
        unused = unused_blocks(s.nodes, leaf)
    hit = found_tokens(g, length, kept)
    chunk = min(length - hit, left)
    if g.chunked_prefill == 0 and chunk < min(length - hit, g.max_batch_tokens):
        return False
    if g.encodes and overreads(g, s, batch, index):
        return False
    need = held(g, s, index, hit + chunk) - found
    if max(need, room(g, m, s, batch, index, found)) + unused + watermark(g, m) > m.free:
        return False
    leave_queue(g, m, s)
    start(g, m, s, batch, index, found, kept, need)
    prefill(g, m, s, batch, s.cohorts[batch.cohort].tail, chunk)
    return True


@njit_helper
def overreads(g: Given, s: State, batch: Batch, index: int) -> bool:
    """Return whether the encoder would read more in a step than the budget, for several requests.

    Source: vLLM V1, `max_num_encoder_input_tokens` is the token budget, or one whole input.
    """
    tokens = s.more[index].encoder
    return tokens > 0 and batch.encoded > 0 and batch.encoded + tokens > g.max_batch_tokens


@njit_helper
def found_tokens(g: Given, length: int, kept: int) -> int:
    """Return how many tokens need not be computed: the last one always is, with its block."""
    return min(kept, (length - 1) // g.block_tokens) * g.block_tokens


@njit_helper
def watermark(g: Given, m: Machine) -> int:
    """Return the blocks that an admission leaves free, unless nothing runs."""
    return g.watermark_blocks if m.running > 0 else 0


@njit_helper
def room(g: Given, m: Machine, s: State, batch: Batch, index: int, found: int) -> int:
    """Return how many blocks must be free for a request, apart from those it takes at once."""
    request = s.requests[index]
    length = request.prompt + request.made
    if g.owed_ppm > 0 and m.running > 0:
        owed = min(m.owed, CLIPPED * m.decoding) * m.share_ppm // PPM
        tokens = length - found * g.block_tokens + batch.promised + owed
        tokens += min(request.output - request.made, CLIPPED)
        return blocks_of(g, tokens) + fixed(g, s, index)
    return held(g, s, index, length) - found if g.full_sequence_gate else 0


@njit_helper
def start(
    g: Given, m: Machine, s: State, batch: Batch, index: int, found: int, kept: int, need: int
) -> None:
    """Make the request a running sequence that has found `kept` blocks of its prompt."""
    request = s.requests[index]
    if g.prefix_caching:
        use(m, s.nodes, m.leaf + index)
    take(g, m, s, need)
    if g.host_blocks:
        enter(s.nodes, m.leaf + index, found, kept)
        host_use(m, s.nodes, m.leaf + index)
        batch.loaded += kept - found
        m.loaded_blocks += kept - found
    hit = found_tokens(g, request.prompt + request.made, kept)
    m.hit_tokens += hit
    if g.encodes:
        tokens = s.more[index].encoder
        batch.encoded += tokens
        batch.encoder_pairs += tokens * tokens
    batch.promised += min(request.output - request.made, CLIPPED)
    m.running += 1
    m.spares -= 1
    slot = s.sequences[m.slots + m.spares].spare
    sequence = s.sequences[slot]
    sequence.request, sequence.length = index, request.prompt + request.made
    sequence.cached, sequence.shared = hit, kept
    sequence.since, sequence.granted, sequence.blocks = -1, -1, 0
    append(s, batch.cohort, slot)
