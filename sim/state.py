"""What the loop remembers: every variable of a replica at work, on one screen.

Each class names the fields of a numpy record, so that the loop writes `m.free` both where numba
compiles it and where mypy checks it. `int` is int64, `float` is float64, `Short` is int32.
"""

from __future__ import annotations

from functools import cache
from typing import Annotated, Any, NamedTuple, get_args, get_type_hints

import numpy as np

from apex_opt.sim.steps import Float64, Int32, Int64

Short = Annotated[int, np.int32]

MIXED, PREFILL, DECODE = range(3)
"""Roles: all of a request, its prompt and first token, the others."""

NOBODY = -1
"""Where a link leads to no sequence."""


class Given:
    """What does not change: the engine's rules, the coefficients of a step, what follows."""

    max_seqs: int
    max_batch_tokens: int
    block_tokens: int
    blocks: int
    sequence_blocks: int
    token_blocks: int
    window_limit: int
    window_ppm: int
    chunked_prefill: int
    full_sequence_gate: int
    prefill_first: int
    watermark_blocks: int
    reserve_output: int
    owed_ppm: int
    owed_least_ppm: int
    owed_decay_ppm: int
    retract_fewest: int
    prefix_caching: int
    role: int
    host_blocks: int
    host_block_ns: int
    drafts: int
    acceptance_ppm: int
    seed: int
    encodes: int  # whether an encoder reads something for requests
    cross_cache: int
    overhead_ns: int
    queued: int  # whether the queue has an order of its own: a heap
    by_priority: int  # whether what gives way has the last place in that order
    sessions: int  # whether requests follow others
    openings: int  # requests that follow no other
    opening: int  # of them, those that arrive by themselves: all, or the first of a closed loop
    patience: int  # preemptions in a row, no token between them, after which a run is given up
    depth: int  # batches in flight: 1, the stages of a pipeline, or 2 with async scheduling
    stages: int
    kind: int  # its row in the tables
    window_tokens: int
    context_j: float
    window_j: float
    pair_j: float
    window_pair_j: float
    history_j: float
    mixed_context_j: float
    mixed_window_j: float
    encoder_pair_j: float


class Request:
    """A request: one cache line. Unknown times are -1."""

    arrival: int
    start: int
    first: int
    last: int
    gap: int
    prompt: Short
    output: Short
    made: Short  # tokens that it had sampled when it was last preempted
    preempted: Short
    rejected: Short
    behind: Short  # the one after it, in the queue or among those that end together


class More:
    """What only some rules need of a request."""

    priority: int
    prefix: int  # the node of the load with which its prompt begins, or -1
    rank: int  # what a queue with an order of its own is ordered by,
    number: int  # and where that is the same: the number of joining it
    next: int  # the request that follows in its session, or -1
    think: int  # time from the end of the one before to the arrival
    when: int  # when it arrives, or its cache does
    parting: int  # blocks that it holds until its cache has moved
    source: int  # the replica that computed its prompt
    target: int  # the replica that decodes
    slot: int  # its place there
    encoder: int  # tokens that the encoder reads


class Sequence:
    """A running request. While it decodes, what it has cached follows from the cohort's step."""

    request: int
    length: int  # tokens to be cached before it samples: prompt, and what it made before
    cached: int  # of them, until they are complete; with drafts also afterwards
    joined: int  # cohort step of its first token since it was admitted
    watched: int  # first cohort step whose gap is its own
    since: int  # when it sampled its last token, if the cohort has not decoded since; else -1
    spot: int  # place in `ending` of the step of its last token
    residue: int  # it needs a block in cohort steps of this residue modulo the block size
    granted: int  # last cohort step in which it got a block by itself
    blocks: int  # with drafts: those of its tokens, once it decodes
    shared: int  # blocks of its tokens that the tree of prefixes holds
    before: int  # neighbours in order of admission
    after: int
    sooner: int  # neighbours among those that end in the same step; of the first: the last
    later: int
    newer: int  # next of those that have sampled since their cohort decoded last
    spare: int  # stack of free slots: the k-th from the first of the replica
    front: int  # stack of preempted requests, in the same way


class Node:
    """A run of tokens in the tree of prefixes, in blocks counted from the start of the prompt."""

    parent: Short
    first: Short  # blocks before it
    last: Short  # blocks up to its end
    cached: Short  # it has blocks first + 1 .. cached in the cache
    host: Short  # and first + 1 .. host in host memory
    users: Short  # nodes below and sequences that use it
    before: Short  # neighbours among the nodes without users, by when they were last used
    after: Short
    host_before: Short  # neighbours among those in host memory
    host_after: Short


class Cohort:
    """Sequences that are scheduled together, step after step."""

    head: int
    tail: int
    partial: int  # the one sequence whose prompt is not yet complete, always the tail
    decoding: int
    context: int  # tokens that the decoding sequences have cached
    step: int
    phase: int  # step modulo the block size
    spot: int  # step modulo the longest output, the place in `ending`
    finish: int  # when the last batch in which it decoded ends
    watched: int  # first step whose gap every decoding sequence has
    peaks: int  # entries of `peak_step` and `peak_gap`
    newcomers: int  # sequences that have sampled since it decoded last,
    newest: int  # the last of them
    free: int  # when the stage of the same number is


class Batch:
    """What one step runs, and what it releases when it lands."""

    idle: int  # stack of the cohorts whose turn it is: the k-th from the first of the replica
    cohort: int
    decodes: int
    decode_tokens: int
    prompt_tokens: int
    pairs: int
    history: int
    rows: int
    sampled: int
    fresh: int  # first sequence with prompt tokens in it; the others follow in the cohort
    promised: int  # tokens that those admitted in it may still sample
    loaded: int  # blocks fetched from host memory
    encoded: int  # tokens that the encoder reads for those admitted in it,
    encoder_pairs: int  # and the squares of each
    start: int
    finish: int
    ended: int  # sequences that end in it,
    first_ended: int  # the requests of which stand behind each other
    last_ended: int
    blocks: int  # that they held
    joules: float


class Peak:
    """A step whose gap no later step reaches."""

    step: int
    gap: int


class Machine:
    """The replica: clock, memory, queue, and the totals of the run.

    Replicas that are played together share all arrays: slots, cohorts, batches and nodes of each
    follow one another.
    """

    number: int
    slots: int  # its first slot
    cohorts: int  # its first cohort
    flights: int  # its first batch
    leaf: int  # node of request 0 alone, the others' follow
    tree: int  # its first node, where private ones go to the replica of their request; else -1
    now: int
    free: int
    unused: int  # of the free blocks, those that the tree of prefixes still holds
    oldest_node: int
    newest_node: int
    hosted: int
    oldest_host: int
    newest_host: int
    running: int
    decoding: int
    owed: int  # tokens that the decoding sequences have still to sample
    outputs: int  # all that they sample
    share_ppm: int  # of the owed tokens that admission keeps room for
    flying: int
    oldest: int  # place of the oldest batch in flight
    next: int  # next request to arrive by itself
    sent: int  # next request of a client
    line: int  # first request that has arrived and has not yet joined the queue
    last: int  # last request to arrive
    joined: int  # requests that have joined the queue
    waiting: int  # requests in the queue
    fronts: int  # of them, preempted ones at its front
    head: int  # the first of the others
    due: int  # requests in the heap of those that follow others
    spares: int  # free slots
    stale: int  # preemptions since a token was sampled
    end_ns: int
    steps: int
    busy_ns: int
    prompt_tokens: int
    decode_tokens: int
    rows: int
    context: int
    pairs: int
    hit_tokens: int
    loaded_blocks: int
    encoder_tokens: int
    encoder_pairs: int
    preemptions: int
    peak_blocks: int
    max_queue: int
    tick_ns: int  # width of a row of the time line
    block_ns: float
    energy_j: float
    peak_w: float


@cache
def dtype(fields: type) -> np.dtype[np.void]:
    """Return the numpy record type of a class of this file."""
    hints = get_type_hints(fields, include_extras=True)
    kinds: dict[Any, type] = {int: np.int64, float: np.float64}
    members = [(name, kinds.get(hint) or get_args(hint)[1]) for name, hint in hints.items()]
    return np.dtype(members, align=True)


class Table(NamedTuple):
    """The arrays of a `StepTable`, by kind of replica."""

    row: Int64  # (kinds, stages): that of each stage in the arrays by unlike stages
    tokens_ns: Int64  # (kinds, unlike, 4, tokens): steps that decode, prefill; hops; encoder
    rows_ns: Int64  # (kinds, unlike, rows)
    draft_ns: Int64  # (kinds, rows)
    fs: Int64  # (kinds, unlike, 8)
    tokens_j: Float64  # (kinds, 3, tokens)
    rows_j: Float64  # (kinds, 2, rows): sampled, guessed


class State(NamedTuple):
    """All that changes. Memory is set by limits and requests: nothing grows with steps.

    What only some rules need has length 1 where they are off.
    """

    machines: list[Machine]
    requests: list[Request]
    more: list[More]  # (n,)
    sequences: list[Sequence]  # by slot, max_seqs of each replica
    cohorts: list[Cohort]  # as many as stages, of each replica
    batches: list[Batch]  # ring of `depth`, of each replica
    nodes: list[Node]  # of the load, then the private ones, of each replica
    peaks: Any  # list of `Peak`, (cohorts, 2 max_seqs + 2)
    residues: Int64  # (cohorts, block_tokens) decoding sequences by residue
    ending: Int32  # (cohorts, longest output) first slot that ends at a spot
    gaps: Int64  # (BINS,) tokens by the time since the one before
    heap: Int64  # (replicas, n) the queue, where it has an order of its own
    opens: Int64  # (openings,) requests that follow no other
    due: Int64  # (n,) heap of requests that follow others, by when
    line: Float64  # (replicas, rows, TRACKS) time line, or no rows


BINS = 64 * 256
"""Bins of gaps: 256 to the octave, one for each value of the top 8 bits past the leading one."""

STEPS, BUSY, PROMPTS, SAMPLED, JOULES, WAITING, RUNNING, BLOCKS = range(8)
TRACKS = 8
"""Columns of the time line; the last three are summed over the time of the steps."""
