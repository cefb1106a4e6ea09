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

from apex_opt.sim.admission import admit
from apex_opt.sim.batch import count, execute, place_of
from apex_opt.sim.blocks import give_back
from apex_opt.sim.endings import settle
from apex_opt.sim.jit import njit, njit_helper, njit_rare
from apex_opt.sim.queue import arrive, join_queue, joins, next_arrival, over
from apex_opt.sim.running import decode, resume
from apex_opt.sim.state import NOBODY, Batch, Given, Machine, State, Table


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
    batch.encoded, batch.encoder_pairs = 0, 0
    return batch


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
