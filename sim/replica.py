"""Play the requests of one replica: check, lay out the state, run the loop, read the log."""

from __future__ import annotations

from typing import Any, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from apex_opt.sim.check import check
from apex_opt.sim.engine import EngineRules
from apex_opt.sim.line import TICK_NS, Line
from apex_opt.sim.load import Load
from apex_opt.sim.log import DONE, REJECTED, Log
from apex_opt.sim.loop import run
from apex_opt.sim.state import (
    BINS,
    NOBODY,
    TRACKS,
    Batch,
    Cohort,
    Given,
    Machine,
    Node,
    Request,
    Sequence,
    State,
    Table,
    dtype,
)
from apex_opt.sim.steps import Int64, StepTable
from apex_opt.sim.totals import Totals

Bool = NDArray[np.bool_]
Number = TypeVar("Number", bound=np.generic)

PPM = 1_000_000
PATIENCE = 100
"""Preemptions for each of `max_seqs`, no token between them, after which a run is given up."""


class EndlessRunError(ValueError):
    """Sequences preempt each other for ever, so that the run would not end."""


def play(load: Load, rules: EngineRules, steps: StepTable, rows: int = 0) -> Log:
    """Play `load` on one replica from an empty start until every request has ended.

    Rules: see `apex_opt.sim.loop`. Same input, same bytes. Memory is O(requests + max_seqs x
    stages + longest output x stages). `rows` is the length of the time line, even; 0: none.

    Raises:
        ValueError: the numbers are unsound (see `apex_opt.sim.check`), or sequences preempt each
            other for ever, which can only happen in a pipeline without the full-sequence gate.
    """
    check(load, rules, steps)
    refused = rejects(load, rules)
    state = lay_out(load, rules, steps, refused, rows)
    run(given(load, rules, steps), table(steps), state)
    if cast("Any", state.machine)["stale"] >= PATIENCE * rules.max_seqs:
        raise EndlessRunError(
            f"rules: {PATIENCE * rules.max_seqs} preemptions in a row without a token, the run "
            "would not end; set full_sequence_gate or give more blocks"
        )
    return read(state, refused)


def rejects(load: Load, rules: EngineRules) -> Bool:
    """Return (n,) whether each request is rejected, because it could never run to its end.

    It is too long for the model; or for all blocks together, without its last token, which is
    never cached; or its prompt for one step, where chunked prefill is off.
    """
    tokens = load.prompt_tokens + load.output_tokens
    blocks = rules.token_blocks * -(-(tokens - 1) // rules.block_tokens) + fixed(load, rules)
    whole = rules.max_model_tokens if rules.chunked_prefill else rules.max_batch_tokens
    return (
        (tokens > rules.max_model_tokens) | (blocks > rules.blocks) | (load.prompt_tokens > whole)
    )


def fixed(load: Load, rules: EngineRules) -> Int64:
    """Return (n,) the blocks that each request holds beside those of its tokens."""
    most = -(-(load.prompt_tokens + load.output_tokens - 1) // rules.block_tokens)
    windows: Int64 = np.minimum(most, rules.window_limit) * rules.window_ppm
    blocks: Int64 = rules.sequence_blocks - (-windows // PPM)
    return blocks


def given(load: Load, rules: EngineRules, steps: StepTable) -> Given:
    """Return the constants of a run."""
    record = np.zeros(1, dtype(Given))[0]
    for name in SAME:
        record[name] = getattr(rules, name)
    record["overhead_ns"] = rules.request_overhead_ns
    record["queued"] = rules.order != "fcfs"
    record["by_priority"] = rules.order == "priority"
    record["sessions"] = len(load.after) > 0
    record["openings"] = len(load.opens)
    record["opening"] = min(load.concurrency or len(load), len(load.opens))
    record["patience"] = PATIENCE * rules.max_seqs
    record["depth"] = depth(rules, steps)
    record["leaf"] = len(load.prefixes)
    for name in ("window_tokens", "context_j", "window_j", "pair_j", "window_pair_j", "history_j"):
        record[name] = getattr(steps, name)
    return cast("Given", record)


SAME = (
    "max_seqs",
    "max_batch_tokens",
    "block_tokens",
    "blocks",
    "sequence_blocks",
    "token_blocks",
    "window_ppm",
    "chunked_prefill",
    "full_sequence_gate",
    "prefill_first",
    "watermark_blocks",
    "reserve_output",
    "owed_ppm",
    "owed_least_ppm",
    "owed_decay_ppm",
    "retract_fewest",
    "prefix_caching",
    "host_blocks",
    "host_block_ns",
    "drafts",
    "acceptance_ppm",
    "seed",
)
"""Rules that the loop reads under their own name."""


def depth(rules: EngineRules, steps: StepTable) -> int:
    """Return how many batches may be in flight."""
    return 2 if steps.stages == 1 and rules.async_scheduling else steps.stages


def table(steps: StepTable) -> Table:
    """Return the arrays of the step table as the loop reads them."""
    history = steps.history_fs if len(steps.history_fs) else np.zeros(steps.stages, np.int64)
    fs = (steps.context_fs, steps.window_fs, steps.pair_fs, steps.window_pair_fs, history)
    none = np.zeros(steps.max_seqs + 1, np.int64)
    return Table(
        decode_ns=writable(steps.decode_ns),
        mixed_ns=writable(steps.mixed_ns),
        rows_ns=writable(steps.rows_ns),
        hop_ns=writable(steps.hop_ns),
        draft_ns=writable(steps.draft_ns if len(steps.draft_ns) else none),
        fs=np.ascontiguousarray(np.stack(fs, axis=1)),
        decode_j=writable(steps.decode_j),
        mixed_j=writable(steps.mixed_j),
        rows_j=writable(steps.rows_j),
        draft_j=writable(steps.draft_j if len(steps.draft_j) else none.astype(np.float64)),
    )


def writable(array: NDArray[Number]) -> NDArray[Number]:
    """Return the array, or a copy: for read-only ones numba would compile the loop once more."""
    return np.require(array, requirements=["C", "A", "W"])


def lay_out(
    load: Load, rules: EngineRules, steps: StepTable, refused: Bool, rows: int = 0
) -> State:
    """Return the state of an idle replica."""
    cohorts, batches, slots = steps.stages, depth(rules, steps), rules.max_seqs
    longest = int(load.output_tokens[~refused].max(initial=0))
    ordered, sessions = rules.order != "fcfs", len(load.after) > 0
    state = State(
        machine=cast("Machine", zeros(Machine, 1)[0]),
        requests=cast("list[Request]", requests(load, refused)),
        sequences=cast("list[Sequence]", zeros(Sequence, slots)),
        cohorts=cast("list[Cohort]", zeros(Cohort, cohorts)),
        batches=cast("list[Batch]", zeros(Batch, batches)),
        nodes=cast("list[Node]", nodes(load, rules) if rules.prefix_caching else zeros(Node, 1)),
        idle=np.arange(batches, dtype=np.int64) % cohorts,
        spare=np.arange(slots, dtype=np.int64),
        front=np.zeros(slots, np.int64),
        newcomers=np.zeros((cohorts, slots), np.int64),
        ended=np.zeros((batches, slots), np.int64),
        parting=np.zeros((batches, slots), np.int64),
        residues=np.zeros((cohorts, rules.block_tokens), np.int64),
        ending=np.full((cohorts, longest + 1), NOBODY, np.int32),
        peak_step=np.zeros((cohorts, 2 * slots + 2), np.int64),
        peak_gap=np.zeros((cohorts, 2 * slots + 2), np.int64),
        stage_free=np.zeros(steps.stages, np.int64),
        gaps=np.zeros(BINS, np.int64),
        fixed=fixed(load, rules) if rules.window_ppm else blank(1),
        heap=blank(len(load) if ordered else 1),
        key=keys(load, rules),
        number=blank(len(load) if ordered else 1),
        opens=load.opens.astype(np.int64) if sessions else blank(1),
        next=followers(load) if sessions else blank(1),
        think=load.think_ns.copy() if sessions else blank(1),
        due=blank(len(load) if sessions else 1),
        when=blank(len(load) if sessions else 1),
        line=np.zeros((rows, TRACKS)),
    )
    for cohort in cast("Any", state.cohorts):
        cohort["head"] = cohort["tail"] = cohort["partial"] = NOBODY
    machine = cast("Any", state.machine)
    machine["free"], machine["spares"] = rules.blocks, slots
    machine["sent"] = min(load.concurrency or len(load), len(load.opens))
    machine["share_ppm"] = rules.owed_ppm
    machine["tick_ns"] = TICK_NS if rows else 0
    for end in ("line", "last", "oldest_node", "newest_node", "oldest_host", "newest_host"):
        machine[end] = NOBODY
    return state


def blank(n: int) -> Int64:
    """Return n zeros."""
    return np.zeros(n, np.int64)


def zeros(fields: type, n: int) -> NDArray[np.void]:
    """Return n records of a class of `apex_opt.sim.state`."""
    return np.zeros(n, dtype(fields))


def requests(load: Load, refused: Bool) -> NDArray[np.void]:
    """Return the requests as records."""
    records = zeros(Request, len(load))
    records["arrival"] = load.arrival_ns
    records["prompt"] = load.prompt_tokens
    records["output"] = load.output_tokens
    records["rejected"] = refused
    for name in ("start", "first", "last"):
        records[name] = -1
    records["gap"] = np.where(refused, -1, 0)
    return records


def keys(load: Load, rules: EngineRules) -> Int64:
    """Return (n,) what the queue is ordered by, least first; nothing where it is not ordered."""
    if rules.order == "priority" and len(load.priority):
        return load.priority.copy()
    return load.prompt_tokens.copy() if rules.order == "shortest" else blank(max(len(load), 1))


def followers(load: Load) -> Int64:
    """Return (n,) the request that follows each one in its session, or -1."""
    later = np.full(len(load), NOBODY, np.int64)
    follows = np.flatnonzero(load.after >= 0)
    later[load.after[follows]] = follows
    return later


def nodes(load: Load, rules: EngineRules) -> NDArray[np.void]:
    """Return the tree of prefixes: the nodes of the load, then a private one of each request."""
    shared, n, size = len(load.prefixes), len(load), rules.block_tokens
    above = np.full(n, NOBODY, np.int64)
    if len(load.prefix):
        above[:] = load.prefix
    if len(load.after):
        above = np.where(load.after >= 0, shared + load.after, above)
    end = np.concatenate([load.prefixes.tokens, load.prompt_tokens + load.output_tokens])
    records = zeros(Node, shared + n)
    records["parent"] = np.concatenate([load.prefixes.parent, above])
    parent = records["parent"]
    start = np.where(parent >= 0, end[parent], 0) if len(end) else end
    records["first"] = records["cached"] = records["host"] = start // size
    records["last"] = end // size
    return records


def read(state: State, refused: Bool) -> Log:
    """Return the log of a run that has ended."""
    machine, records = cast("Any", state.machine), cast("Any", state.requests)
    counts = ("steps", "prompt_tokens", "decode_tokens", "rows", "context", "pairs")
    limits = ("peak_blocks", "preemptions", "max_queue", "busy_ns", "end_ns")
    found = ("hit_tokens", "loaded_blocks")
    totals = Totals(
        **{name: int(machine[name]) for name in counts + limits + found},
        energy_j=float(machine["energy_j"]),
        peak_w=float(machine["peak_w"]),
        block_ns=float(machine["block_ns"]),
    )
    return Log(
        arrival_ns=records["arrival"].copy(),
        start_ns=records["start"].copy(),
        first_ns=records["first"].copy(),
        last_ns=records["last"].copy(),
        gap_ns=records["gap"].copy(),
        status=np.where(refused, REJECTED, DONE).astype(np.int8),
        preempted=records["preempted"].copy(),
        gaps=state.gaps,
        totals=totals,
        line=Line(int(machine["tick_ns"]), state.line),
    )
