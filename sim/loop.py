"""Play one replica: iteration-level batching, batch by batch, in integer nanoseconds.

The rules
---------
*Queue.* A request joins the queue at its arrival + overhead, first come first served, or by
priority, or the shortest prompt first. A preempted one goes to its front, or where the order wants
it. In a closed loop a client sends the next request of the list when a batch in which a request
ends has landed, or at the arrival of a request that is rejected; a session goes on in the same way,
after the time to think.

*Batch.* First the running sequences that are ready, in order of admission: one token each, or for
the one whose prompt is not complete as much of it as the budget allows. A sequence that gets no
block preempts the last admitted of them (or the one with the fewest tokens, or of the last rank):
it loses its cache and will compute prompt and output again. If anything was preempted, nobody is
admitted. Else the head of the queue is admitted until a sequence, token or block limit stops it.
Where chunked prefill is off a sequence waits for a budget that takes its whole prompt (or all of
an empty budget, if what it made before it was preempted has outgrown that).

*Prompts first* (vLLM V0, SGLang). First the rest of a prompt, with the whole budget, then the
queue; only if that makes no batch the decoding sequences run.

*Blocks.* token_blocks x ceil(cached tokens / block size) + the fixed ones of a sequence, taken when
tokens are scheduled, or all at admission. The last token of a request is never cached: P + O - 1 is
the most. What a sequence holds, and its place among `max_seqs`, are free when the batch in which it
ends has landed. With prefix caching blocks outlive it: `apex_opt.sim.prefix`.

*Flight.* Up to `depth` batches are in flight, first in first out; stage s takes a batch when the
batch has arrived there and the one before has left. A batch is scheduled at once whenever there is
room and somebody to run; else the clock goes to the landing of the oldest one, else to the next
arrival. Depth 1: schedule, run, repeat. Depth P, a pipeline: sequences in flight are not ready, so
each batch has a cohort of its own. Depth 2 on one stage, async scheduling: all sequences form one
cohort that is always ready, so step k + 1 is scheduled at the start of step k, with the arrivals up
to then, and sees what ended in step k - 1; after an idle period everything has landed.

Why it is fast: a batch without prompts costs the same for any number of sequences
(`apex_opt.sim.cohort`); only admission, preemption and endings touch single ones. Guessing ahead
is the exception (`apex_opt.sim.draft`).

Sources: vLLM 0.19, vllm/v1/core/sched/scheduler.py; vLLM 0.6, vllm/core/scheduler.py; SGLang 0.5,
sglang/srt/managers/schedule_policy.py (PrefillAdder) and schedule_batch.py (retract_decode);
TensorRT-LLM documentation, capacity scheduler GUARANTEED_NO_EVICT.
"""

from __future__ import annotations

from apex_opt.sim.cohort import (
    add_newcomer,
    append,
    await_ending,
    bin_of,
    forget_ending,
    forget_newcomer,
    note_gap,
    peak_since,
    unlink,
)
from apex_opt.sim.draft import guessed_tokens, guesses, right_guesses
from apex_opt.sim.heap import RANK, before
from apex_opt.sim.jit import njit, njit_helper, njit_rare
from apex_opt.sim.prefix import (
    cached_blocks,
    enter,
    host_use,
    kept_blocks,
    leave,
    make_room,
    unused_blocks,
    use,
)
from apex_opt.sim.queue import (
    arrive,
    first_in_queue,
    join_queue,
    joins,
    leave_queue,
    next_arrival,
    over,
    return_to_queue,
)
from apex_opt.sim.state import (
    BLOCKS,
    BUSY,
    DECODE,
    JOULES,
    NOBODY,
    PREFILL,
    PROMPTS,
    RUNNING,
    SAMPLED,
    STEPS,
    WAITING,
    Batch,
    Given,
    Machine,
    State,
    Table,
)

FS_PER_NS = 1_000_000
PPM = 1_000_000
HOP = 2
CLIPPED = 4096
"""Most tokens of one sequence for which room is kept (SGLang, CLIP_MAX_NEW_TOKENS)."""
AHEAD = 20
"""Steps for which room is kept after a preemption (SGLang, retract_decode_steps)."""


@njit
def run(g: Given, t: Table, s: State) -> None:
    """Play until all requests have ended, or `machine.stale` has reached `given.patience`."""
    m = s.machines[0]
    while m.stale < g.patience:
        if m.flying < g.depth and launch(g, t, m, s):
            continue
        if m.flying > 0:
            land(g, m, s)
        elif m.running + m.waiting > 0:
            pass_turn(g, m, s)
        elif not wake(g, m, s):
            return


@njit_helper
def launch(g: Given, t: Table, m: Machine, s: State) -> bool:
    """Schedule a batch now and put it in flight; return whether there was anything to run."""
    batch = next_batch(g, m, s)
    if not schedule(g, m, s, batch):
        return False
    execute(g, t, m, s, batch)
    settle(g, m, s, batch)
    count(g, m, s, batch)
    return True


@njit_helper
def next_batch(g: Given, m: Machine, s: State) -> Batch:
    """Return an empty batch for the cohort whose turn it is."""
    batch = place_of(g, m, s, m.flying)
    batch.cohort = s.batches[m.flights + g.depth - 1 - m.flying].idle
    batch.decodes = batch.decode_tokens = batch.prompt_tokens = batch.rows = batch.sampled = 0
    batch.pairs, batch.history, batch.fresh = 0, 0, NOBODY
    batch.promised, batch.loaded, batch.ended, batch.blocks = 0, 0, 0, 0
    return batch


@njit_helper
def place_of(g: Given, m: Machine, s: State, flown: int) -> Batch:
    """Return the place of the batch before which `flown` others are in flight."""
    k = m.oldest + flown
    return s.batches[m.flights + (k - g.depth if k >= g.depth else k)]


@njit_rare
def pass_turn(g: Given, m: Machine, s: State) -> None:
    """Let the next idle cohort try: the batch of this one came to nothing, who ran gave way."""
    first, last = m.flights, m.flights + g.depth - 1
    which = s.batches[last].idle
    for k in range(last, first, -1):
        s.batches[k].idle = s.batches[k - 1].idle
    s.batches[first].idle = which
    m.stale += 1


@njit_helper
def schedule(g: Given, m: Machine, s: State, batch: Batch) -> bool:
    """Choose what the batch runs; return whether it is anything."""
    join_queue(g, m, s)
    m.max_queue = max(m.max_queue, m.waiting)
    preemptions = m.preemptions
    if not g.prefill_first:
        decode(g, m, s, batch)
        resume(g, m, s, batch)
    elif s.cohorts[batch.cohort].partial != NOBODY:
        resume(g, m, s, batch)
    if m.preemptions == preemptions:
        while admit(g, m, s, batch):
            pass
    if g.prefill_first and batch.prompt_tokens == 0:
        decode(g, m, s, batch)
    if batch.decodes + batch.prompt_tokens == 0:
        return False
    m.flying += 1
    return True


# ---- blocks


@njit_helper
def fixed(g: Given, s: State, index: int) -> int:
    """Return the blocks that a request holds beside those of its tokens."""
    if g.window_ppm == 0:
        return g.sequence_blocks
    request = s.requests[index]
    output = 1 if g.role == PREFILL else request.output
    most = (request.prompt + output - 2 + g.block_tokens) // g.block_tokens
    windows = min(most, g.window_limit) * g.window_ppm
    return g.sequence_blocks + (windows + PPM - 1) // PPM


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


# ---- the running sequences


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
        if need <= m.free:
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
    cohort.context -= cached
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
        if not find_room(g, m, s, batch.cohort, slot, need):
            return
        count_decodes(g, s, batch)
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


# ---- the queue


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
    need = held(g, s, index, hit + chunk) - found
    if max(need, room(g, m, s, batch, index, found)) + unused + watermark(g, m) > m.free:
        return False
    leave_queue(g, m, s)
    start(g, m, s, batch, index, found, kept, need)
    prefill(g, m, s, batch, s.cohorts[batch.cohort].tail, chunk)
    return True


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
    batch.promised += min(request.output - request.made, CLIPPED)
    m.running += 1
    m.spares -= 1
    slot = s.sequences[m.slots + m.spares].spare
    sequence = s.sequences[slot]
    sequence.request, sequence.length = index, request.prompt + request.made
    sequence.cached, sequence.shared = hit, kept
    sequence.since, sequence.granted, sequence.blocks = -1, -1, 0
    append(s, batch.cohort, slot)


# ---- the batch


@njit_helper
def execute(g: Given, t: Table, m: Machine, s: State, batch: Batch) -> None:
    """Send the batch through the stages."""
    n = batch.decode_tokens + batch.prompt_tokens
    at, longest, total = m.now, 0, 0
    for k in range(g.stages):
        spent = stage_ns(g, t, s, batch, k, n)
        stage = s.cohorts[m.cohorts + k]
        begin = max(at, stage.free)
        if k == 0:
            batch.start = begin
        stage.free = begin + spent
        at = begin + spent + t.tokens_ns[g.kind, k, HOP, n]
        longest, total = max(longest, spent), total + spent
    draw(g, t, m, s, batch, max(longest, total / m.flying))
    occupy(m, batch, at)


@njit_helper
def context_of(s: State, batch: Batch) -> int:
    """Return the cached tokens that the batch reads in order to decode."""
    return s.cohorts[batch.cohort].context + batch.decode_tokens if batch.decodes > 0 else 0


@njit_helper
def stage_ns(g: Given, t: Table, s: State, batch: Batch, k: int, n: int) -> int:
    """Return the time of the batch on stage `k`, in a step of `n` tokens."""
    context = context_of(s, batch)
    window = min(context, batch.decodes * g.window_tokens)
    window_pairs = min(batch.pairs, batch.prompt_tokens * g.window_tokens)
    fs = t.fs[g.kind, k]
    work = fs[0] * context + fs[1] * window + fs[4] * batch.history
    work += fs[2] * batch.pairs + fs[3] * window_pairs
    spent = t.tokens_ns[g.kind, k, 1 if batch.prompt_tokens > 0 else 0, n]
    spent += t.rows_ns[g.kind, k, batch.rows] + work // FS_PER_NS
    if k == 0:
        spent += t.draft_ns[g.kind, batch.decodes] + batch.loaded * g.host_block_ns
    return int(spent)


@njit_helper
def draw(g: Given, t: Table, m: Machine, s: State, batch: Batch, spent_ns: float) -> None:
    """Draw the energy of the batch, over so much time."""
    n = batch.decode_tokens + batch.prompt_tokens
    context = context_of(s, batch)
    window = min(context, batch.decodes * g.window_tokens)
    window_pairs = min(batch.pairs, batch.prompt_tokens * g.window_tokens)
    energy = t.tokens_j[g.kind, 1 if batch.prompt_tokens > 0 else 0, n]
    energy += t.rows_j[g.kind, 0, batch.rows] + g.context_j * context + g.window_j * window
    energy += g.pair_j * batch.pairs + g.window_pair_j * window_pairs
    energy += g.history_j * batch.history + t.rows_j[g.kind, 1, batch.decodes]
    batch.joules = energy
    m.energy_j += energy
    m.peak_w = max(m.peak_w, 1e9 * energy / spent_ns)
    m.context += context


@njit_helper
def occupy(m: Machine, batch: Batch, finish: int) -> None:
    """Let the batch land at `finish`."""
    batch.finish = finish
    m.busy_ns += finish - max(batch.start, m.end_ns)
    m.end_ns = finish


@njit_helper
def count(g: Given, m: Machine, s: State, batch: Batch) -> None:
    """Add the batch to the totals."""
    m.steps += 1
    m.prompt_tokens += batch.prompt_tokens
    m.decode_tokens += batch.decode_tokens
    m.pairs += batch.pairs
    m.rows += batch.sampled
    m.peak_blocks = max(m.peak_blocks, g.blocks - m.free)
    if m.tick_ns > 0:
        note(g, m, s, batch)


@njit_rare
def note(g: Given, m: Machine, s: State, batch: Batch) -> None:
    """Add the batch to the row of the time line in which it starts."""
    line = s.line[m.number]
    rows = len(line)
    while batch.start // m.tick_ns >= rows:  # half as many rows, twice as wide
        for k in range(rows):
            for track in range(line.shape[1]):
                both = line[2 * k, track] + line[2 * k + 1, track] if 2 * k < rows else 0.0
                line[k, track] = both
        m.tick_ns *= 2
    row = line[batch.start // m.tick_ns]
    spent = float(batch.finish - batch.start)
    row[STEPS] += 1
    row[BUSY] += spent
    row[PROMPTS] += batch.prompt_tokens
    row[SAMPLED] += batch.sampled
    row[JOULES] += batch.joules
    row[WAITING] += spent * m.waiting
    row[RUNNING] += spent * m.running
    row[BLOCKS] += spent * (g.blocks - m.free)


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
    cohort.context -= request.prompt + request.output - 1
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
    cohort.context += sequence.length
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


# ---- time


@njit_helper
def land(g: Given, m: Machine, s: State) -> None:
    """Go to the end of the oldest batch, release what it held, let its clients go on."""
    batch = s.batches[m.flights + m.oldest]
    advance(g, m, s, batch.finish)
    unload(g, m, s, batch)
    after = batch.first_ended
    for _ in range(batch.ended):
        index, after = after, s.requests[after].behind
        give_back(g, m, s, index, 0)
        over(g, m, s, index, m.now)
    if g.sessions:
        arrive(g, m, s, m.now)


@njit_helper
def unload(g: Given, m: Machine, s: State, batch: Batch) -> None:
    """Take the oldest batch out of the flight; what it held is free."""
    m.oldest = 0 if m.oldest + 1 == g.depth else m.oldest + 1
    m.flying -= 1
    s.batches[m.flights + g.depth - 1 - m.flying].idle = batch.cohort
    m.running -= batch.ended
    m.free += batch.blocks


@njit_helper
def wake(g: Given, m: Machine, s: State) -> bool:
    """Go to the next arrival; return whether there is one."""
    m.share_ppm = g.owed_ppm
    if m.line != NOBODY:
        advance(g, m, s, joins(g, m, s))
        return True
    at = next_arrival(g, m, s)
    if at == NOBODY:
        return False
    advance(g, m, s, at)
    return True


@njit_helper
def advance(g: Given, m: Machine, s: State, until: int) -> None:
    """Set the clock."""
    m.block_ns += float(g.blocks - m.free) * float(until - m.now)
    m.now = until
    arrive(g, m, s, until)
