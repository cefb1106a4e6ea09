"""Play one replica: the scheduler of the vLLM V1 family, batch by batch, in integer nanoseconds.

The rules
---------
*Queue.* A request joins the queue at its arrival + overhead, first come first served; a preempted
one goes to its front. In a closed loop a client sends the next request of the list when a batch in
which a request ends has landed, or at the arrival of a request that is rejected.

*Batch.* First the running sequences that are ready, in order of admission: one token each, or for
the one whose prompt is not complete as much of it as the budget allows. A sequence that gets no
block preempts the last admitted of them: it loses its cache and will compute prompt and output
again. If it has to preempt itself, or if anything was preempted, nobody is admitted. Else the head
of the queue is admitted until a sequence, token or block limit stops it. Where chunked prefill is
off a sequence waits for a budget that takes its whole prompt (or all of an empty budget, if what it
made before it was preempted has outgrown that).

*Blocks.* ceil(cached tokens / block size) + the fixed ones of a sequence, taken when tokens are
scheduled. The last token of a request is never cached: P + O - 1 is the most. What a sequence
holds, and its place among `max_seqs`, are free when the batch in which it ends has landed.

*Flight.* Up to `depth` batches are in flight, first in first out; stage s takes a batch when the
batch has arrived there and the one before has left. A batch is scheduled at once whenever there is
room and somebody to run; else the clock goes to the landing of the oldest one, else to the next
arrival. Depth 1: schedule, run, repeat. Depth P, a pipeline: sequences in flight are not ready, so
each batch has a cohort of its own. Depth 2 on one stage, async scheduling: all sequences form one
cohort that is always ready, so step k + 1 is scheduled at the start of step k, with the arrivals up
to then, and sees what ended in step k - 1; after an idle period everything has landed.

Why it is fast
--------------
Every decoding sequence of a cohort decodes in every batch of the cohort. So a cohort keeps totals:
contexts grow by one each, the sequences that need a block are those of one residue class, those
that end stand in a ring by step. A batch without prompts costs the same for any number of
sequences; only admission, preemption and endings touch single ones.

The file is long because all compiled code that the loop calls must stand in it: numba runs the
machine code that it has kept until the file of `run` changes, whatever changes elsewhere.
"""

from __future__ import annotations

import numpy as np

from apex_opt.sim.jit import njit, njit_helper
from apex_opt.sim.state import NOBODY, Batch, Given, State, Table

FS_PER_NS = 1_000_000


@njit
def run(g: Given, t: Table, s: State) -> None:
    """Play until all requests have ended, or `machine.stale` has reached `given.patience`."""
    m = s.machine
    while m.stale < g.patience:
        if m.flying < g.depth and launch(g, t, s):
            continue
        if m.flying > 0:
            land(g, s)
        elif not wake(g, s):
            return


@njit_helper
def launch(g: Given, t: Table, s: State) -> bool:
    """Schedule a batch now and put it in flight; return whether there was anything to run."""
    m = s.machine
    which = s.idle[g.depth - 1 - m.flying]
    place = m.oldest + m.flying
    batch = s.batches[place - g.depth if place >= g.depth else place]
    while m.visible < m.tail and joins_queue(g, s, m.visible) <= m.now:
        m.visible += 1
    m.max_queue = max(m.max_queue, m.fronts + m.visible - m.head)
    batch.cohort, batch.ended, batch.blocks = which, 0, 0
    batch.prompt_tokens, batch.pairs, batch.fresh = 0, 0, NOBODY
    preemptions = m.preemptions
    decode(g, s, which)
    batch.decodes = batch.rows = s.cohorts[which].decoding
    resume(g, s, batch)
    if m.preemptions == preemptions:
        while admit(g, s, batch):
            pass
    if batch.decodes + batch.prompt_tokens == 0:
        return False
    m.flying += 1
    execute(g, t, s, batch)
    count(g, s, batch)
    settle(g, s, batch)
    return True


@njit_helper
def joins_queue(g: Given, s: State, k: int) -> int:
    """Return when the k-th request of the queue joins it."""
    return s.requests[s.requests[k].queued].arrival + g.overhead_ns


@njit_helper
def held(g: Given, tokens: int) -> int:
    """Return the blocks of a sequence with so many tokens in the cache."""
    return (tokens + g.block_tokens - 1) // g.block_tokens + g.sequence_blocks


# ---- the running sequences


@njit_helper
def decode(g: Given, s: State, which: int) -> None:
    """Give a block to each decoding sequence at the end of one; if there is none, preempt."""
    m, cohort = s.machine, s.cohorts[which]
    need = s.residues[which, cohort.phase]
    if need <= m.free:
        m.free -= need
    else:
        scarce_decode(g, s, which)


@njit_helper
def scarce_decode(g: Given, s: State, which: int) -> None:
    """The same, one by one in order of admission: the last admitted give way."""
    m, cohort = s.machine, s.cohorts[which]
    slot = cohort.head
    while slot != NOBODY:
        sequence = s.sequences[slot]
        if slot != cohort.partial and sequence.residue == cohort.phase:
            while m.free == 0:
                victim = cohort.tail
                preempt(g, s, which, victim)
                if victim == slot:
                    return
            m.free -= 1
        slot = sequence.after


@njit_helper
def preempt(g: Given, s: State, which: int, slot: int) -> None:
    """Put a sequence at the front of the queue, without its cache."""
    m, cohort, sequence = s.machine, s.cohorts[which], s.sequences[slot]
    request = s.requests[sequence.request]
    cached = sequence.cached
    if slot == cohort.partial:
        cohort.partial = NOBODY
    else:
        cached = sequence.length + cohort.step - sequence.joined - 1
        request.made = cached - request.prompt + 1
        request.last = cohort.finish
        request.gap = max(request.gap, peak_since(s, which, sequence.joined + 1))
        cohort.decoding -= 1
        cohort.context -= cached
        s.residues[which, sequence.residue] -= 1
        forget_ending(s, which, slot)
    request.preempted += 1
    s.front[m.fronts] = sequence.request
    m.fronts += 1
    m.free += held(g, cached)
    m.running -= 1
    m.preemptions += 1
    m.stale += 1
    unlink(s, which, slot)


@njit_helper
def resume(g: Given, s: State, batch: Batch) -> None:
    """Schedule more of the prompt that is not complete, or preempt its sequence."""
    cohort = s.cohorts[batch.cohort]
    if cohort.partial == NOBODY:
        return
    m, sequence = s.machine, s.sequences[cohort.partial]
    chunk = min(sequence.length - sequence.cached, g.max_batch_tokens - cohort.decoding)
    need = held(g, sequence.cached + chunk) - held(g, sequence.cached)
    if need > m.free:
        preempt(g, s, batch.cohort, cohort.partial)
        return
    m.free -= need
    prefill(s, batch, cohort.partial, chunk)


@njit_helper
def prefill(s: State, batch: Batch, slot: int, chunk: int) -> None:
    """Put the next tokens of a prompt into the batch."""
    cohort, sequence = s.cohorts[batch.cohort], s.sequences[slot]
    batch.pairs += chunk * (2 * sequence.cached + chunk + 1) // 2
    batch.prompt_tokens += chunk
    sequence.cached += chunk
    if batch.fresh == NOBODY:
        batch.fresh = slot
    if sequence.cached == sequence.length:
        batch.rows += 1
        cohort.partial = NOBODY
    else:
        cohort.partial = slot


# ---- the queue


@njit_helper
def admit(g: Given, s: State, batch: Batch) -> bool:
    """Admit the head of the queue; return whether it could be."""
    m = s.machine
    left = g.max_batch_tokens - batch.decodes - batch.prompt_tokens
    waiting = m.fronts + m.visible - m.head
    if waiting == 0 or left == 0 or m.running == g.max_seqs:
        return False
    index = s.front[m.fronts - 1] if m.fronts > 0 else s.requests[m.head].queued
    request = s.requests[index]
    length = request.prompt + request.made
    chunk = min(length, left)
    whole = g.chunked_prefill == 0 and chunk < min(length, g.max_batch_tokens)
    need = held(g, chunk)
    if whole or (held(g, length) if g.full_sequence_gate else need) > m.free:
        return False
    if m.fronts > 0:
        m.fronts -= 1
    else:
        m.head += 1
    m.free -= need
    m.running += 1
    m.spares -= 1
    slot = s.spare[m.spares]
    sequence = s.sequences[slot]
    sequence.request, sequence.length, sequence.cached = index, length, 0
    append(s, batch.cohort, slot)
    prefill(s, batch, slot, chunk)
    return True


@njit_helper
def arrive(g: Given, s: State, until: int) -> None:
    """Let requests arrive by themselves."""
    m = s.machine
    while m.next < g.opening and s.requests[m.next].arrival <= until:
        request = s.requests[m.next]
        if request.rejected:
            send(s, request.arrival)
        else:
            s.requests[m.tail].queued = m.next
            m.tail += 1
        m.next += 1


@njit_helper
def send(s: State, when: int) -> None:
    """Let a client send the next request of the list, and more as long as they are rejected."""
    m = s.machine
    while m.sent < len(s.requests):
        request = s.requests[m.sent]
        request.arrival = when
        m.sent += 1
        if not request.rejected:
            s.requests[m.tail].queued = m.sent - 1
            m.tail += 1
            return


# ---- the batch


@njit_helper
def execute(g: Given, t: Table, s: State, batch: Batch) -> None:
    """Send the batch through the stages: times, energy, power."""
    m, n = s.machine, batch.decodes + batch.prompt_tokens
    context = s.cohorts[batch.cohort].context + batch.decodes
    window = min(context, batch.decodes * g.window_tokens)
    window_pairs = min(batch.pairs, batch.prompt_tokens * g.window_tokens)
    at, longest, total = m.now, 0, 0
    for k in range(len(s.stage_free)):
        work = t.fs[k, 0] * context + t.fs[k, 1] * window
        work += t.fs[k, 2] * batch.pairs + t.fs[k, 3] * window_pairs
        spent = t.mixed_ns[k, n] if batch.prompt_tokens > 0 else t.decode_ns[k, n]
        spent += t.rows_ns[k, batch.rows] + work // FS_PER_NS
        begin = max(at, s.stage_free[k])
        if k == 0:
            batch.start = begin
        s.stage_free[k] = begin + spent
        at = begin + spent + t.hop_ns[k, n]
        longest, total = max(longest, spent), total + spent
    batch.finish = at
    m.busy_ns += at - max(batch.start, m.end_ns)
    m.end_ns = at
    energy = t.mixed_j[n] if batch.prompt_tokens > 0 else t.decode_j[n]
    energy += t.rows_j[batch.rows] + g.context_j * context + g.window_j * window
    energy += g.pair_j * batch.pairs + g.window_pair_j * window_pairs
    m.energy_j += energy
    m.peak_w = max(m.peak_w, 1e9 * energy / max(longest, total / m.flying))
    m.context += context


@njit_helper
def count(g: Given, s: State, batch: Batch) -> None:
    """Add the batch to the totals."""
    m = s.machine
    m.steps += 1
    m.prompt_tokens += batch.prompt_tokens
    m.decode_tokens += batch.decodes
    m.rows += batch.rows
    m.pairs += batch.pairs
    m.peak_blocks = max(m.peak_blocks, g.blocks - m.free)


@njit_helper
def settle(g: Given, s: State, batch: Batch) -> None:
    """Note the tokens that the batch will have sampled when it ends; move the cohort on a step."""
    which = batch.cohort
    cohort = s.cohorts[which]
    if batch.decodes > 0:
        gap = batch.finish - cohort.finish
        s.gaps[bin_of(gap)] += batch.decodes
        note_peak(s, batch, gap)
        cohort.context += batch.decodes
        end_decodes(g, s, batch)
    if batch.fresh != NOBODY:
        end_prompts(g, s, batch)
    if batch.rows > 0:
        s.machine.stale = 0
    cohort.finish = batch.finish
    cohort.step += 1
    cohort.phase = 0 if cohort.phase + 1 == g.block_tokens else cohort.phase + 1
    cohort.spot = 0 if cohort.spot + 1 == s.ending.shape[1] else cohort.spot + 1


@njit_helper
def end_decodes(g: Given, s: State, batch: Batch) -> None:
    """End the decoding sequences whose last token this is."""
    which = batch.cohort
    cohort = s.cohorts[which]
    slot = s.ending[which, cohort.spot]
    s.ending[which, cohort.spot] = NOBODY
    while slot != NOBODY:
        sequence = s.sequences[slot]
        request = s.requests[sequence.request]
        request.gap = max(request.gap, peak_since(s, which, sequence.joined + 1))
        cohort.decoding -= 1
        cohort.context -= request.prompt + request.output - 1
        s.residues[which, sequence.residue] -= 1
        end(g, s, batch, slot)
        slot = sequence.later


@njit_helper
def end_prompts(g: Given, s: State, batch: Batch) -> None:
    """Let the sequences whose prompt is complete sample a token and decode from now on."""
    cohort = s.cohorts[batch.cohort]
    slot = batch.fresh
    while slot != NOBODY:
        sequence = s.sequences[slot]
        request = s.requests[sequence.request]
        if request.start < 0:
            request.start = batch.start
        if slot != cohort.partial:
            made = sequence.length - request.prompt
            if made == 0:
                request.first = batch.finish
            else:
                gap = batch.finish - request.last
                s.gaps[bin_of(gap)] += 1
                request.gap = max(request.gap, gap)
            if made + 1 == request.output:
                end(g, s, batch, slot)
            else:
                join(g, s, batch.cohort, slot, request.output - made - 1)
        slot = sequence.after


@njit_helper
def end(g: Given, s: State, batch: Batch, slot: int) -> None:
    """Take a sequence that has sampled its last token from its cohort."""
    request = s.requests[s.sequences[slot].request]
    request.last = batch.finish
    batch.ended += 1
    batch.blocks += held(g, request.prompt + request.output - 1)
    unlink(s, batch.cohort, slot)


@njit_helper
def join(g: Given, s: State, which: int, slot: int, remaining: int) -> None:
    """Make a sequence one of the decoding ones, from the next step on, for so many steps."""
    cohort, sequence = s.cohorts[which], s.sequences[slot]
    cohort.decoding += 1
    cohort.context += sequence.length
    cohort.joined = sequence.joined = cohort.step
    sequence.residue = (cohort.phase + 1 - sequence.length) % g.block_tokens
    s.residues[which, sequence.residue] += 1
    sequence.spot = (cohort.spot + remaining) % s.ending.shape[1]
    sequence.sooner, sequence.later = NOBODY, s.ending[which, sequence.spot]
    if sequence.later != NOBODY:
        s.sequences[sequence.later].sooner = slot
    s.ending[which, sequence.spot] = slot


# ---- time


@njit_helper
def land(g: Given, s: State) -> None:
    """Go to the end of the oldest batch, release what it held, let its clients go on."""
    m, batch = s.machine, s.batches[s.machine.oldest]
    advance(g, s, batch.finish)
    m.oldest = 0 if m.oldest + 1 == g.depth else m.oldest + 1
    m.flying -= 1
    s.idle[g.depth - 1 - m.flying] = batch.cohort
    m.free += batch.blocks
    m.running -= batch.ended
    for _ in range(batch.ended):
        send(s, m.now)


@njit_helper
def wake(g: Given, s: State) -> bool:
    """Go to the next arrival; return whether there is one."""
    m = s.machine
    if m.visible < m.tail:
        advance(g, s, joins_queue(g, s, m.visible))
        return True
    if m.next < g.opening:
        advance(g, s, s.requests[m.next].arrival)
        return True
    return False


@njit_helper
def advance(g: Given, s: State, until: int) -> None:
    """Set the clock."""
    m = s.machine
    m.block_ns += float(g.blocks - m.free) * float(until - m.now)
    m.now = until
    arrive(g, s, until)


# ---- links and gaps


@njit_helper
def append(s: State, which: int, slot: int) -> None:
    """Make a sequence the last of its cohort."""
    cohort, sequence = s.cohorts[which], s.sequences[slot]
    sequence.before, sequence.after = cohort.tail, NOBODY
    if cohort.tail == NOBODY:
        cohort.head = slot
    else:
        s.sequences[cohort.tail].after = slot
    cohort.tail = slot


@njit_helper
def unlink(s: State, which: int, slot: int) -> None:
    """Take a sequence from its cohort; its slot is spare, its fields still stand."""
    m, cohort, sequence = s.machine, s.cohorts[which], s.sequences[slot]
    if sequence.before == NOBODY:
        cohort.head = sequence.after
    else:
        s.sequences[sequence.before].after = sequence.after
    if sequence.after == NOBODY:
        cohort.tail = sequence.before
    else:
        s.sequences[sequence.after].before = sequence.before
    s.spare[m.spares] = slot
    m.spares += 1


@njit_helper
def forget_ending(s: State, which: int, slot: int) -> None:
    """Take a sequence from those that end in its last step."""
    sequence = s.sequences[slot]
    if sequence.later != NOBODY:
        s.sequences[sequence.later].sooner = sequence.sooner
    if sequence.sooner == NOBODY:
        s.ending[which, sequence.spot] = sequence.later
    else:
        s.sequences[sequence.sooner].later = sequence.later


@njit_helper
def bin_of(gap: int) -> int:
    """Return the bin of a gap: its exponent and the 8 bits after the leading one."""
    return (int(np.float64(max(gap, 1)).view(np.int64)) >> 44) - (1023 << 8)


@njit_helper
def note_peak(s: State, batch: Batch, gap: int) -> None:
    """Keep the gap of this step if some sequence has had no larger one since it joined."""
    cohort = s.cohorts[batch.cohort]
    step, peak, k = s.peak_step[batch.cohort], s.peak_gap[batch.cohort], cohort.peaks
    while k > 0 and peak[k - 1] <= gap:
        k -= 1
    if k == 0 or cohort.joined >= step[k - 1]:
        if k == len(peak):
            k = forget_peaks(s, batch.cohort)
        step[k], peak[k] = cohort.step, gap
        k += 1
    cohort.peaks = k


@njit_helper
def forget_peaks(s: State, which: int) -> int:
    """Keep only the peaks that a sequence of the cohort can ask for; return how many."""
    step, peak = s.peak_step[which], s.peak_gap[which]
    slot, k, kept = s.cohorts[which].head, 0, 0
    while slot != NOBODY:
        while k < len(peak) and step[k] <= s.sequences[slot].joined:
            k += 1
        if k < len(peak) and (kept == 0 or step[kept - 1] != step[k]):
            step[kept], peak[kept] = step[k], peak[k]
            kept += 1
        slot = s.sequences[slot].after
    return kept


@njit_helper
def peak_since(s: State, which: int, first: int) -> int:
    """Return the largest gap in the cohort's steps from `first` on; 0 if there was none."""
    step = s.peak_step[which]
    low, high = 0, s.cohorts[which].peaks
    end = high
    while low < high:
        middle = (low + high) // 2
        if step[middle] < first:
            low = middle + 1
        else:
            high = middle
    return s.peak_gap[which, low] if low < end else 0
