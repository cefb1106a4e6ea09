"""Play replicas together: where what one does depends on what the others do.

*Routing.* A request is sent to a replica when it arrives, and to one that decodes when its prompt
is computed: of those with a weight that do not reject it; a prefill replica also rejects what no
decode replica takes. In turn is smooth weighted round robin; chance is of the seed, the request and
the role; least outstanding are the fewest requests sent and not over, for the weight; least KV is
the smallest share of blocks in use, then the least outstanding; prefix affinity is the most blocks
of the prompt in the cache, or least outstanding where that is too little or too uneven, and in
order to decode. Of equals the first. In a closed loop and in sessions that holds for each request
anew.

*Ranks.* Attention-data-parallel ranks batch by themselves, but step together, since their experts
exchange tokens. Every rank runs as many tokens as the largest batch, with its own rows, contexts
and pairs, and the step takes the time of the slowest. One that has nothing to run runs along: a
batch without prompts that takes this time and no energy. Energy is of the tokens that are asked
for, not of those that fill a batch up.

*Roles.* A prefill replica computes prompts and first tokens, and keeps room for no more: no output
is reserved or owed. When the batch has landed the request leaves its place there, but not its
blocks, and joins the queue of a decode replica, which is in the engine's order. Its head takes a
place and the blocks of its prompt (or all, where outputs are reserved), the watermark left free,
each time a request comes, a batch lands or a cache has moved. Only then is the cache sent: latency
and transfer, over the outgoing link of the one and the incoming link of the other, one cache at a
time on each. Until it has arrived its blocks stay on both sides: a full decode pool holds the
prefill pool up. When it has, the first token reaches the client, both replicas schedule, the source
first, and the request decodes from the next batch on whose cohort has no prompt to complete.
Preempted on a decode replica, a request computes its prompt again there; while it heads the queue
nobody is taken in. A decode replica adds no overhead to a request and caches no prefixes.

At one time arrivals come first, then caches that have moved, in order of requests, then landings
in order of replicas, each with what follows from it: caches that leave, requests that a client or a
session sends at once, the next batches.

Sources: vLLM, vllm/v1/engine/coordinator.py and core_client.py (ranks, padded to the largest
batch); Patel et al., Splitwise, arXiv 2311.18677; Zhong et al., DistServe, arXiv 2401.09670;
SGLang router, sgl-router/README.md (cache-aware routing, thresholds).
"""

from __future__ import annotations

from apex_opt.sim.admission import watermark
from apex_opt.sim.balance import choose
from apex_opt.sim.batch import FS_PER_NS, count, draw, occupy, place_of, stage_ns
from apex_opt.sim.blocks import give_back, held, take
from apex_opt.sim.cohort import append
from apex_opt.sim.endings import join, settle
from apex_opt.sim.heap import WHEN, drop_first, push
from apex_opt.sim.jit import njit, njit_helper, njit_rare
from apex_opt.sim.loop import launch, next_batch, pass_turn, schedule, unload
from apex_opt.sim.queue import (
    arrive,
    first_in_queue,
    join_queue,
    joins,
    leave_queue,
    next_arrival,
    over,
    stand_in_line,
)
from apex_opt.sim.state import DECODE, NOBODY, PREFILL, Batch, Given, Machine, State, Table
from apex_opt.sim.world import (
    NEVER,
    World,
    first_event,
    set_event,
)


@njit
def run_together(w: World, t: Table, s: State) -> None:
    """Play until all requests have ended, or a replica has run out of patience."""
    entrance = s.machines[len(s.machines) - 1]
    while not w.door.stuck:
        first, at = first_event(w), w.events[1]
        comes = next_arrival(w.given, entrance, s)
        moved = s.more[w.moving[0]].when if w.door.moving > 0 else NEVER
        if comes != NOBODY and comes <= min(at, moved):
            come(w, s, comes)
        elif moved <= at and moved < NEVER:
            receive(w, t, s, moved)
        elif at < NEVER:
            go_on(w, t, s, first, at)
        else:
            return


# ---- routing


@njit_rare
def come(w: World, s: State, now: int) -> None:
    """Let requests arrive that are due, and send each to a replica."""
    entrance = s.machines[len(s.machines) - 1]
    arrive(w.given, entrance, s, now)
    while entrance.line != NOBODY:
        index = entrance.line
        entrance.line = s.requests[index].behind
        send(w, s, index, choose(w, s, index, False), now)
    entrance.last = NOBODY


@njit_helper
def send(w: World, s: State, index: int, r: int, now: int) -> None:
    """Send a request to a replica."""
    site = w.sites[r]
    site.outstanding += 1
    w.replica[index] = r
    if s.machines[r].tree != NOBODY and s.more[index].prefix != NOBODY:
        s.nodes[s.machines[r].leaf + index].parent = s.machines[r].tree + s.more[index].prefix
    stand_in_line(s.machines[r], s, index)
    if s.machines[r].flying == 0:
        set_event(w, site.leader, next_event(w, s, site.leader, now))


# ---- caches that move


@njit_rare
def pull(w: World, s: State, r: int, now: int) -> None:
    """Let a decode replica take in the next requests, as long as it has room for them."""
    g, m = w.givens[w.sites[r].kind], s.machines[r]
    keep_time(g, m, now)
    join_queue(g, m, s)
    while m.waiting > 0 and m.running < g.max_seqs:
        index = first_in_queue(g, m, s)
        request = s.requests[index]
        need = held(g, s, index, request.prompt)
        if request.made > 0 or need + watermark(g, m) > m.free:
            return
        leave_queue(g, m, s)
        take(g, m, s, need)
        m.running += 1
        m.peak_blocks = max(m.peak_blocks, g.blocks - m.free)
        m.spares -= 1
        slot = s.sequences[m.slots + m.spares].spare
        sequence = s.sequences[slot]
        sequence.request, sequence.length = index, request.prompt
        sequence.cached, sequence.shared = request.prompt, 0
        sequence.granted, sequence.blocks = -1, 0
        s.more[index].slot = slot
        depart(w, s, index, r, now)


@njit_helper
def depart(w: World, s: State, index: int, r: int, now: int) -> None:
    """Send the cache of a request to the replica that decodes."""
    more = s.more[index]
    source, target = w.sites[more.source], w.sites[r]
    begin = max(now, source.sends, target.receives)
    tokens = s.requests[index].prompt
    end = begin + w.door.latency_ns + tokens * w.door.token_fs // FS_PER_NS
    source.sends = target.receives = end
    more.when, more.target = end, r
    push(w.moving, w.door.moving, s.more, WHEN, index)
    w.door.moving += 1


@njit_rare
def receive(w: World, t: Table, s: State, now: int) -> None:
    """Let a cache arrive: its blocks at the source are free, its first token is out."""
    index = w.moving[0]
    drop_first(w.moving, w.door.moving, s.more, WHEN)
    w.door.moving -= 1
    more = s.more[index]
    g, m = w.givens[w.sites[more.source].kind], s.machines[more.source]
    keep_time(g, m, now)
    give_back(g, m, s, index, more.parting)
    request = s.requests[index]
    request.first = request.last = now
    site = w.sites[more.target]
    w.ready[s.machines[more.target].slots + site.ready] = more.slot
    site.ready += 1
    try_to_work(w, t, s, w.sites[more.source].leader, now)
    try_to_work(w, t, s, site.leader, now)


@njit_helper
def try_to_work(w: World, t: Table, s: State, leader: int, now: int) -> None:
    """Schedule batches if there is room in the flight; take in what waits for a place."""
    g = w.givens[w.sites[leader].kind]
    if s.machines[leader].flying < g.depth:
        work(w, t, s, leader, now)
    elif g.role == DECODE:
        for r in range(leader, leader + w.sites[leader].ranks):
            pull(w, s, r, now)


@njit_helper
def enlist(w: World, s: State, r: int) -> None:
    """Let the sequences whose cache has come decode from the next batch on."""
    site, m = w.sites[r], s.machines[r]
    if site.ready == 0:
        return
    g = w.givens[site.kind]
    which = s.batches[m.flights + g.depth - 1 - m.flying].idle
    if s.cohorts[which].partial != NOBODY:
        return
    for k in range(site.ready):
        slot = w.ready[m.slots + k]
        request = s.requests[s.sequences[slot].request]
        append(s, which, slot)
        join(g, m, s, which, slot, request.output - 1, request.first)
    site.ready = 0


# ---- time


@njit_helper
def keep_time(g: Given, m: Machine, now: int) -> None:
    """Set the clock of a replica."""
    m.block_ns += float(g.blocks - m.free) * float(now - m.now)
    m.now = now


@njit_helper
def next_event(w: World, s: State, leader: int, now: int) -> int:
    """Return when something happens next to ranks that step together."""
    m = s.machines[leader]
    if m.flying > 0:
        return s.batches[m.flights + m.oldest].finish
    g, at = w.givens[w.sites[leader].kind], NEVER
    for r in range(leader, leader + w.sites[leader].ranks):
        if s.machines[r].line != NOBODY:
            at = min(at, max(now, joins(g, s.machines[r], s)))
    return at


@njit_rare
def go_on(w: World, t: Table, s: State, leader: int, now: int) -> None:
    """Land the oldest batch of some ranks, if it is due, and schedule the next ones."""
    if s.machines[leader].flying > 0:
        for r in range(leader, leader + w.sites[leader].ranks):
            touch_down(w, s, r, now)
        come(w, s, now)
    work(w, t, s, leader, now)


@njit_rare
def touch_down(w: World, s: State, r: int, now: int) -> None:
    """Land the oldest batch of a replica: requests end, or go on elsewhere."""
    site, m = w.sites[r], s.machines[r]
    g, batch = w.givens[site.kind], s.batches[m.flights + m.oldest]
    keep_time(g, m, now)
    unload(g, m, s, batch)
    after = batch.first_ended
    for _ in range(batch.ended):
        index, after = after, s.requests[after].behind
        site.outstanding -= 1
        if g.role == PREFILL and s.requests[index].output > 1:
            s.more[index].source = r
            target = choose(w, s, index, True)
            send(w, s, index, target, now)
            pull(w, s, target, now)
        else:
            give_back(g, m, s, index, 0)
            over(w.given, s.machines[len(s.machines) - 1], s, index, now)


@njit_rare
def work(w: World, t: Table, s: State, leader: int, now: int) -> None:
    """Schedule batches as long as there is room in the flight and somebody to run."""
    ranks, g, first = w.sites[leader].ranks, w.givens[w.sites[leader].kind], s.machines[leader]
    for r in range(leader, leader + ranks):
        keep_time(g, s.machines[r], now)
        if s.machines[r].stale >= g.patience:
            w.door.stuck = 1
        if g.role == DECODE:
            pull(w, s, r, now)
    while first.flying < g.depth:
        before = preemptions(w, s, leader)
        if step_alone(w, t, s, leader) if ranks == 1 else step_together(w, t, s, leader):
            continue
        if first.flying > 0 or (preemptions(w, s, leader) == before and nobody_runs(w, s, leader)):
            break
        pass_turn(g, first, s)
        if first.stale >= g.patience:
            w.door.stuck = 1
            break
    if first.flying == 0:
        for r in range(leader, leader + ranks):
            s.machines[r].share_ppm = g.owed_ppm
    set_event(w, leader, next_event(w, s, leader, now))


@njit_helper
def preemptions(w: World, s: State, leader: int) -> int:
    """Return how often sequences of ranks that step together have given way."""
    total = 0
    for r in range(leader, leader + w.sites[leader].ranks):
        total += s.machines[r].preemptions
    return total


@njit_helper
def nobody_runs(w: World, s: State, leader: int) -> bool:
    """Return whether they have no sequence, except those whose cache is still to come."""
    stages = w.givens[w.sites[leader].kind].stages
    for r in range(leader, leader + w.sites[leader].ranks):
        for which in range(s.machines[r].cohorts, s.machines[r].cohorts + stages):
            if s.cohorts[which].head != NOBODY:
                return False
    return True


@njit_helper
def step_alone(w: World, t: Table, s: State, r: int) -> bool:
    """Put the next batch of a replica in flight; return whether there was anything to run."""
    enlist(w, s, r)
    return launch(w.givens[w.sites[r].kind], t, s.machines[r], s)


@njit_rare
def step_together(w: World, t: Table, s: State, leader: int) -> bool:
    """Put a batch of each rank in flight, to land together; return whether any had one."""
    g, ranks = w.givens[w.sites[leader].kind], w.sites[leader].ranks
    flown, largest, anyone = s.machines[leader].flying, 0, False
    for r in range(leader, leader + ranks):
        enlist(w, s, r)
        batch = next_batch(g, s.machines[r], s)
        anyone |= schedule(g, s.machines[r], s, batch)
        largest = max(largest, batch.decode_tokens + batch.prompt_tokens)
    if not anyone:
        return False
    spent, begin = 0, 0
    for r in range(leader, leader + ranks):
        m = s.machines[r]
        batch = place_of(g, m, s, flown)
        if batch.decodes + batch.prompt_tokens > 0:
            spent = max(spent, stage_ns(g, t, s, batch, 0, largest))
        begin = max(begin, m.now, s.cohorts[m.cohorts].free)
    for r in range(leader, leader + ranks):
        m = s.machines[r]
        s.cohorts[m.cohorts].free = begin + spent
        fly_along(g, t, m, s, place_of(g, m, s, flown), begin, begin + spent)
    return True


@njit_rare
def fly_along(
    g: Given, t: Table, m: Machine, s: State, batch: Batch, begin: int, finish: int
) -> None:
    """Put the batch of one rank in flight."""
    works = batch.decodes + batch.prompt_tokens > 0
    batch.start = begin
    occupy(m, batch, finish)
    if works:
        draw(g, t, m, s, batch)
    else:
        m.flying += 1
    settle(g, m, s, batch)
    if works:
        count(g, m, s, batch)
