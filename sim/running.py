"""The running sequences of a batch: those that decode, and the rest of one prompt.

Each gets its blocks in order of admission. One that gets none preempts the last admitted (or the
one with the fewest tokens, or of the last rank), at worst itself: it loses its cache and will
compute prompt and output again.
"""

from __future__ import annotations

from apex_opt.sim.blocks import PPM, blocks_of, crossed, fixed, give_back, held, take
from apex_opt.sim.cohort import forget_ending, forget_newcomer, peak_since, unlink
from apex_opt.sim.draft import guessed_tokens, guesses
from apex_opt.sim.heap import RANK, before
from apex_opt.sim.jit import njit_helper, njit_rare
from apex_opt.sim.prefix import enter
from apex_opt.sim.queue import return_to_queue
from apex_opt.sim.state import NOBODY, Batch, Given, Machine, State

AHEAD = 20
"""Steps for which room is kept after a preemption (SGLang, retract_decode_steps)."""


@njit_helper
def decode(g: Given, m: Machine, s: State, batch: Batch) -> None:
    """Schedule the decoding sequences; those at the end of a block get one, or are preempted."""
    which = batch.cohort
    cohort = s.cohorts[which]
    preemptions = m.preemptions
    if g.drafts:
        decode_with_guesses(g, m, s, which)
    else:
        need = s.residues[which, cohort.phase]
        # Who may yet give way to the rest of a prompt must know whether it has got its block.
        exposed = need > 0 and g.by_priority and cohort.partial != NOBODY
        if need <= m.free and not exposed:
            take(g, m, s, need)
        else:
            decode_one_by_one(g, m, s, which)
    count_decodes(g, s, batch)
    if g.owed_ppm > 0 and m.preemptions > preemptions:
        sampled = m.outputs - m.owed
        m.share_ppm = min(PPM, (sampled + AHEAD * m.decoding) * PPM // (m.outputs + 1))


@njit_helper
def count_decodes(g: Given, s: State, batch: Batch) -> None:
    """Let the batch run the tokens of all sequences that decode."""
    decoding = s.cohorts[batch.cohort].decoding
    batch.decodes = batch.decode_tokens = decoding
    if g.drafts:
        batch.decode_tokens = guessed_tokens(g, s, batch.cohort)
    batch.rows = batch.decode_tokens


@njit_rare
def decode_one_by_one(g: Given, m: Machine, s: State, which: int) -> None:
    """Give a block to each sequence that needs one, in order of admission."""
    cohort = s.cohorts[which]
    slot = cohort.head
    while slot != NOBODY:
        sequence = s.sequences[slot]
        later = sequence.after
        if slot != cohort.partial and sequence.residue == cohort.phase:
            if find_room(g, m, s, which, slot, 1):
                sequence.granted = cohort.step
                take(g, m, s, 1)
            later = sequence.after
        slot = later


@njit_rare
def decode_with_guesses(g: Given, m: Machine, s: State, which: int) -> None:
    """Give each sequence the blocks of its next token and its guesses, in order of admission."""
    cohort = s.cohorts[which]
    slot = cohort.head
    while slot != NOBODY:
        sequence = s.sequences[slot]
        if slot != cohort.partial and not g.reserve_output:
            blocks = blocks_of(g, sequence.cached + 1 + guesses(g, s, slot))
            need = blocks - sequence.blocks
            if need > 0 and find_room(g, m, s, which, slot, need):
                sequence.blocks = blocks
                take(g, m, s, need)
        slot = sequence.after


@njit_rare
def find_room(g: Given, m: Machine, s: State, which: int, slot: int, blocks: int) -> bool:
    """Preempt sequences until so many blocks are free; return whether `slot` still runs."""
    while m.free < blocks:
        victim = next_victim(g, s, which)
        preempt(g, m, s, which, victim)
        if victim == slot:
            return False
    return True


@njit_rare
def next_victim(g: Given, s: State, which: int) -> int:
    """Return the sequence of a cohort that gives way: as a rule the last admitted."""
    cohort = s.cohorts[which]
    if not g.by_priority and (not g.retract_fewest or cohort.partial != NOBODY):
        return cohort.tail
    worst = slot = cohort.head
    while slot != NOBODY:
        if gives_way(g, s, which, slot, worst):
            worst = slot
        slot = s.sequences[slot].after
    return worst


@njit_helper
def gives_way(g: Given, s: State, which: int, slot: int, other: int) -> bool:
    """Return whether a sequence gives way before one that was admitted before it."""
    one, two = s.sequences[slot].request, s.sequences[other].request
    if g.by_priority:
        return before(s.more, RANK, two, one)
    sampled = computed(g, s, which, slot) - s.requests[one].prompt
    fewest = computed(g, s, which, other) - s.requests[two].prompt
    longer = s.requests[one].prompt >= s.requests[two].prompt
    return sampled < fewest or (sampled == fewest and longer)


@njit_helper
def computed(g: Given, s: State, which: int, slot: int) -> int:
    """Return the tokens that a sequence has in the cache."""
    cohort, sequence = s.cohorts[which], s.sequences[slot]
    if slot == cohort.partial or g.drafts:
        return sequence.cached
    return sequence.length + cohort.step - sequence.joined - 1


@njit_rare
def preempt(g: Given, m: Machine, s: State, which: int, slot: int) -> None:
    """Put a sequence back in the queue, without its cache."""
    cohort, sequence = s.cohorts[which], s.sequences[slot]
    index = sequence.request
    request = s.requests[index]
    cached = computed(g, s, which, slot)
    blocks = held(g, s, index, cached)
    if slot == cohort.partial:
        cohort.partial = NOBODY
    else:
        blocks = leave_decoding(g, m, s, which, slot, cached)
    if g.prefix_caching:
        low = sequence.length // g.block_tokens
        sequence.shared += enter(s.nodes, m.leaf + index, low, cached // g.block_tokens)
        blocks -= sequence.shared
    request.preempted += 1
    return_to_queue(g, m, s, index)
    give_back(g, m, s, index, blocks)
    m.running -= 1
    m.preemptions += 1
    m.stale += 1
    unlink(m, s, which, slot)


@njit_helper
def leave_decoding(g: Given, m: Machine, s: State, which: int, slot: int, cached: int) -> int:
    """Take a sequence from the decoding ones of its cohort; return the blocks that it holds."""
    cohort, sequence = s.cohorts[which], s.sequences[slot]
    index = sequence.request
    request = s.requests[index]
    request.made = cached - request.prompt + 1
    if sequence.since >= 0:
        request.last = sequence.since
        forget_newcomer(s, which, slot)
    else:
        request.last = cohort.finish
        request.gap = max(request.gap, peak_since(s, which, sequence.watched))
    cohort.decoding -= 1
    cohort.context -= cached + crossed(g, s, index)
    m.decoding -= 1
    m.owed -= request.output - request.made
    m.outputs -= request.output
    if g.drafts:
        if g.reserve_output:
            return held(g, s, index, cached)
        return sequence.blocks + fixed(g, s, index)
    forget_ending(s, which, slot)
    if g.token_blocks and not g.reserve_output:
        s.residues[which, sequence.residue] -= 1
    return held(g, s, index, cached) + (1 if sequence.granted == cohort.step else 0)


@njit_helper
def resume(g: Given, m: Machine, s: State, batch: Batch) -> None:
    """Schedule more of the prompt that is not complete, or preempt its sequence.

    Where prompts run first it waits instead, as long as others decode and may give blocks back.
    """
    cohort = s.cohorts[batch.cohort]
    slot = cohort.partial
    if slot == NOBODY:
        return
    sequence = s.sequences[slot]
    chunk = min(sequence.length - sequence.cached, g.max_batch_tokens - batch.decode_tokens)
    need = held(g, s, sequence.request, sequence.cached + chunk)
    need -= held(g, s, sequence.request, sequence.cached)
    if need > m.free:
        if g.prefill_first and cohort.decoding > 0:
            return
        found = find_room(g, m, s, batch.cohort, slot, need)
        count_decodes(g, s, batch)
        if not found:
            return
    take(g, m, s, need)
    prefill(g, m, s, batch, slot, chunk)


@njit_helper
def prefill(g: Given, m: Machine, s: State, batch: Batch, slot: int, chunk: int) -> None:
    """Put the next tokens of a prompt into the batch."""
    cohort, sequence = s.cohorts[batch.cohort], s.sequences[slot]
    before = sequence.cached
    batch.pairs += chunk * (2 * before + chunk + 1) // 2
    batch.history += before
    batch.prompt_tokens += chunk
    sequence.cached += chunk
    if g.prefix_caching:
        low, high = before // g.block_tokens, sequence.cached // g.block_tokens
        sequence.shared += enter(s.nodes, m.leaf + sequence.request, low, high)
    if batch.fresh == NOBODY:
        batch.fresh = slot
    if sequence.cached == sequence.length:
        batch.rows += 1
        cohort.partial = NOBODY
    else:
        cohort.partial = slot
