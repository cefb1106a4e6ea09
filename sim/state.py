"""What the loop remembers: every variable of a replica at work, on one screen.

Each class names the fields of a numpy record, so that the loop writes `m.free` both where numba
compiles it and where mypy checks it. `int` is int64, `float` is float64, `Short` is int32.
"""

from __future__ import annotations

from typing import Annotated, Any, NamedTuple, get_args, get_type_hints

import numpy as np

from apex_opt.sim.steps import Float64, Int32, Int64

Short = Annotated[int, np.int32]

NOBODY = -1
"""Where a link leads to no sequence."""


class Given:
    """What does not change: the engine's rules, the coefficients of a step, what follows."""

    max_seqs: int
    max_batch_tokens: int
    block_tokens: int
    blocks: int
    sequence_blocks: int
    chunked_prefill: int
    full_sequence_gate: int
    overhead_ns: int
    opening: int  # requests that arrive by themselves: all, or the first ones of a closed loop
    patience: int  # preemptions in a row, no token between them, after which a run is given up
    depth: int  # batches in flight: 1, the stages of a pipeline, or 2 with async scheduling
    window_tokens: int
    context_j: float
    window_j: float
    pair_j: float
    window_pair_j: float


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
    queued: Short  # of request k: the k-th request to join the queue


class Sequence:
    """A running request. While it decodes, what it has cached follows from the cohort's step."""

    request: int
    length: int  # tokens to be cached before it samples: prompt, and what it made before
    cached: int  # of them, until they are complete
    joined: int  # cohort step of its first token since it was admitted
    spot: int  # place in `ending` of the step of its last token
    residue: int  # it needs a block in cohort steps of this residue modulo the block size
    before: int  # neighbours in order of admission
    after: int
    sooner: int  # neighbours among the sequences that end in the same step
    later: int


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
    finish: int  # when its last batch ends
    joined: int  # last step in which a sequence joined the decoding ones
    peaks: int  # entries of `peak_step` and `peak_gap`


class Batch:
    """What one step runs, and what it releases when it lands."""

    cohort: int
    decodes: int
    prompt_tokens: int
    pairs: int
    rows: int
    fresh: int  # first sequence with prompt tokens in it; the others follow in the cohort
    start: int
    finish: int
    ended: int
    blocks: int


class Machine:
    """The replica: clock, memory, queue, and the totals of the run."""

    now: int
    free: int
    running: int
    flying: int
    oldest: int  # place of the oldest batch in flight
    next: int  # next request to arrive by itself
    sent: int  # next request of a client
    tail: int  # requests that have arrived
    visible: int  # of them, those past the overhead
    head: int  # of them, those admitted
    fronts: int  # preempted requests, at the front of the queue
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
    preemptions: int
    peak_blocks: int
    max_queue: int
    block_ns: float
    energy_j: float
    peak_w: float


def dtype(fields: type) -> np.dtype[np.void]:
    """Return the numpy record type of a class of this file."""
    hints = get_type_hints(fields, include_extras=True)
    kinds: dict[Any, type] = {int: np.int64, float: np.float64}
    members = [(name, kinds.get(hint) or get_args(hint)[1]) for name, hint in hints.items()]
    return np.dtype(members, align=True)


class Table(NamedTuple):
    """The arrays of a `StepTable`; `fs` holds its four coefficients, (stages, 4)."""

    decode_ns: Int64
    mixed_ns: Int64
    rows_ns: Int64
    hop_ns: Int64
    fs: Int64
    decode_j: Float64
    mixed_j: Float64
    rows_j: Float64


class State(NamedTuple):
    """All that changes. Memory is set by limits and requests: nothing grows with steps."""

    machine: Machine
    requests: list[Request]
    sequences: list[Sequence]  # by slot, max_seqs of them
    cohorts: list[Cohort]
    batches: list[Batch]  # ring of `depth`
    idle: Int64  # (depth,) stack: which cohort the next batch is for
    spare: Int64  # (max_seqs,) stack of free slots
    front: Int64  # (max_seqs,) stack of preempted requests
    residues: Int64  # (cohorts, block_tokens) decoding sequences by residue
    ending: Int32  # (cohorts, longest output) first slot that ends at a spot
    peak_step: Int64  # (cohorts, 2 max_seqs + 2) steps whose gap no later step reaches
    peak_gap: Int64
    stage_free: Int64  # (stages,)
    gaps: Int64  # (BINS,) tokens by the time since the one before


BINS = 64 * 256
"""Bins of gaps: 256 to the octave, one for each value of the top 8 bits past the leading one."""
