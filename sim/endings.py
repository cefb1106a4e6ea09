"""What a batch leaves behind: tokens sampled, prompts that begin to decode, sequences that end."""

from __future__ import annotations

from apex_opt.sim.blocks import blocks_of, crossed, held
from apex_opt.sim.cohort import add_newcomer, await_ending, bin_of, note_gap, peak_since, unlink
from apex_opt.sim.draft import right_guesses
from apex_opt.sim.jit import njit_helper, njit_rare
from apex_opt.sim.prefix import enter
from apex_opt.sim.state import DECODE, NOBODY, PREFILL, Batch, Given, Machine, State


@njit_helper
def settle(g: Given, m: Machine, s: State, batch: Batch) -> None:
    """Note the tokens that the batch will have sampled when it ends; move the cohort on a step."""
    if batch.decodes > 0:
        note_gap(s, batch)
        if g.drafts:
            end_guesses(g, m, s, batch)
        else:
            batch.sampled = batch.decodes
            end_decodes(g, m, s, batch)
    if batch.decodes > 0 or not g.prefill_first:
        move_on(g, s, batch)
    if batch.fresh != NOBODY:
        end_prompts(g, m, s, batch)
    elif g.owed_ppm > 0:
        m.share_ppm = max(g.owed_least_ppm, m.share_ppm - g.owed_decay_ppm)
    if batch.sampled > 0:
        m.stale = 0


@njit_helper
def move_on(g: Given, s: State, batch: Batch) -> None:
    """Go to the next step of the cohort."""
    cohort = s.cohorts[batch.cohort]
    cohort.finish = batch.finish
    cohort.step += 1
    cohort.phase = 0 if cohort.phase + 1 == g.block_tokens else cohort.phase + 1
    cohort.spot = 0 if cohort.spot + 1 == s.ending.shape[1] else cohort.spot + 1


@njit_helper
def end_decodes(g: Given, m: Machine, s: State, batch: Batch) -> None:
    """Let every decoding sequence sample a token; end those whose last one this is."""
    which = batch.cohort
    cohort = s.cohorts[which]
    cohort.context += batch.decodes
    m.owed -= batch.decodes
    slot = s.ending[which, cohort.spot]
    s.ending[which, cohort.spot] = NOBODY
    while slot != NOBODY:
        sequence = s.sequences[slot]
        if g.token_blocks and not g.reserve_output:
            s.residues[which, sequence.residue] -= 1
        end_decoding(g, m, s, batch, slot)
        slot = sequence.later


@njit_rare
def end_guesses(g: Given, m: Machine, s: State, batch: Batch) -> None:
    """Let every decoding sequence sample a token and its right guesses; end those that can."""
    cohort = s.cohorts[batch.cohort]
    slot = cohort.head
    while slot != NOBODY and slot != batch.fresh:
        sequence = s.sequences[slot]
        later = sequence.after
        if slot != cohort.partial:
            tokens = 1 + right_guesses(g, s, slot)
            batch.sampled += tokens
            s.gaps[0] += tokens - 1
            sequence.cached += tokens
            cohort.context += tokens
            m.owed -= tokens
            request = s.requests[sequence.request]
            if sequence.cached == request.prompt + request.output - 1:
                end_decoding(g, m, s, batch, slot)
        slot = later


@njit_helper
def end_decoding(g: Given, m: Machine, s: State, batch: Batch, slot: int) -> None:
    """Take a sequence that has sampled its last token from the decoding ones."""
    cohort, sequence = s.cohorts[batch.cohort], s.sequences[slot]
    request = s.requests[sequence.request]
    request.gap = max(request.gap, peak_since(s, batch.cohort, sequence.watched))
    cohort.decoding -= 1
    cohort.context -= request.prompt + request.output - 1 + crossed(g, s, sequence.request)
    m.decoding -= 1
    m.outputs -= request.output
    end(g, m, s, batch, slot)


@njit_helper
def end_prompts(g: Given, m: Machine, s: State, batch: Batch) -> None:
    """Let the sequences whose prompt is complete sample a token and decode from now on."""
    cohort = s.cohorts[batch.cohort]
    slot = batch.fresh
    while slot != NOBODY:
        sequence = s.sequences[slot]
        later = sequence.after
        request = s.requests[sequence.request]
        if request.start < 0:
            request.start = batch.start
        if slot != cohort.partial:
            made = sequence.length - request.prompt
            batch.sampled += 1
            if made == 0:
                request.first = batch.finish
            else:
                gap = batch.finish - request.last
                s.gaps[bin_of(gap)] += 1
                request.gap = max(request.gap, gap)
            if made + 1 == request.output or g.role == PREFILL:
                end(g, m, s, batch, slot)
            else:
                join(g, m, s, batch.cohort, slot, request.output - made - 1, batch.finish)
        slot = later


@njit_helper
def end(g: Given, m: Machine, s: State, batch: Batch, slot: int) -> None:
    """End a sequence: what it holds is free when the batch has landed, or its cache has moved."""
    sequence = s.sequences[slot]
    index = sequence.request
    request = s.requests[index]
    request.last = batch.finish
    moves = g.role == PREFILL and request.output > 1
    cached = sequence.length if moves else request.prompt + request.output - 1
    blocks = held(g, s, index, cached)
    if g.prefix_caching:
        low = sequence.length // g.block_tokens
        sequence.shared += enter(s.nodes, m.leaf + index, low, cached // g.block_tokens)
        blocks -= sequence.shared
    if moves:
        s.more[index].parting = blocks
    else:
        batch.blocks += blocks
    if batch.ended == 0:
        batch.first_ended = index
    else:
        s.requests[batch.last_ended].behind = index
    batch.last_ended = index
    batch.ended += 1
    unlink(m, s, batch.cohort, slot)


@njit_helper
def join(g: Given, m: Machine, s: State, which: int, slot: int, remaining: int, since: int) -> None:
    """Make a sequence one of the decoding ones, from the next step on, with so many tokens."""
    cohort, sequence = s.cohorts[which], s.sequences[slot]
    cohort.decoding += 1
    cohort.context += sequence.length + crossed(g, s, sequence.request)
    m.decoding += 1
    m.owed += remaining
    m.outputs += s.requests[sequence.request].output
    sequence.joined = cohort.step - 1
    cohort.watched = sequence.watched = cohort.step
    if g.prefill_first or g.role == DECODE:
        add_newcomer(s, which, slot, since)
    if g.drafts:
        sequence.blocks = blocks_of(g, sequence.length)
        return
    await_ending(s, which, slot, remaining)
    if g.token_blocks and not g.reserve_output:
        sequence.residue = (cohort.phase - sequence.length) % g.block_tokens
        s.residues[which, sequence.residue] += 1
