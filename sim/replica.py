"""Play the requests of one replica: check, lay out the state, run the loop, read the log."""

from __future__ import annotations

from typing import Any, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from apex_opt.sim.check import check
from apex_opt.sim.engine import EngineRules
from apex_opt.sim.load import Load
from apex_opt.sim.log import DONE, REJECTED, Log
from apex_opt.sim.loop import run
from apex_opt.sim.state import (
    BINS,
    NOBODY,
    Batch,
    Cohort,
    Given,
    Machine,
    Request,
    Sequence,
    State,
    Table,
    dtype,
)
from apex_opt.sim.steps import StepTable
from apex_opt.sim.totals import Totals

Bool = NDArray[np.bool_]
Number = TypeVar("Number", bound=np.generic)

PATIENCE = 100
"""Preemptions for each of `max_seqs`, no token between them, after which a run is given up."""


class EndlessRunError(ValueError):
    """Sequences preempt each other for ever, so that the run would not end."""


def play(load: Load, rules: EngineRules, steps: StepTable) -> Log:
    """Play `load` on one replica from an empty start until every request has ended.

    Rules: see `apex_opt.sim.loop`. Same input, same bytes. Memory is O(requests + max_seqs x
    stages + longest output x stages).

    Raises:
        ValueError: the numbers are unsound (see `apex_opt.sim.check`), or sequences preempt each
            other for ever, which can only happen in a pipeline without the full-sequence gate.
    """
    check(load, rules, steps)
    refused = rejects(load, rules)
    state = lay_out(load, rules, steps, refused)
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
    blocks = -(-(tokens - 1) // rules.block_tokens) + rules.sequence_blocks
    whole = rules.max_model_tokens if rules.chunked_prefill else rules.max_batch_tokens
    return (
        (tokens > rules.max_model_tokens) | (blocks > rules.blocks) | (load.prompt_tokens > whole)
    )


def given(load: Load, rules: EngineRules, steps: StepTable) -> Given:
    """Return the constants of a run."""
    record = np.zeros(1, dtype(Given))[0]
    for name in ("max_seqs", "max_batch_tokens", "block_tokens", "blocks", "sequence_blocks"):
        record[name] = getattr(rules, name)
    record["chunked_prefill"] = rules.chunked_prefill
    record["full_sequence_gate"] = rules.full_sequence_gate
    record["overhead_ns"] = rules.request_overhead_ns
    record["opening"] = min(load.concurrency or len(load), len(load))
    record["patience"] = PATIENCE * rules.max_seqs
    record["depth"] = depth(rules, steps)
    for name in ("window_tokens", "context_j", "window_j", "pair_j", "window_pair_j"):
        record[name] = getattr(steps, name)
    return cast("Given", record)


def depth(rules: EngineRules, steps: StepTable) -> int:
    """Return how many batches may be in flight."""
    return 2 if steps.stages == 1 and rules.async_scheduling else steps.stages


def table(steps: StepTable) -> Table:
    """Return the arrays of the step table as the loop reads them."""
    fs = (steps.context_fs, steps.window_fs, steps.pair_fs, steps.window_pair_fs)
    return Table(
        decode_ns=writable(steps.decode_ns),
        mixed_ns=writable(steps.mixed_ns),
        rows_ns=writable(steps.rows_ns),
        hop_ns=writable(steps.hop_ns),
        fs=np.ascontiguousarray(np.stack(fs, axis=1)),
        decode_j=writable(steps.decode_j),
        mixed_j=writable(steps.mixed_j),
        rows_j=writable(steps.rows_j),
    )


def writable(array: NDArray[Number]) -> NDArray[Number]:
    """Return the array, or a copy: for read-only ones numba would compile the loop once more."""
    return np.require(array, requirements=["C", "A", "W"])


def lay_out(load: Load, rules: EngineRules, steps: StepTable, refused: Bool) -> State:
    """Return the state of an idle replica."""
    cohorts, batches, slots = steps.stages, depth(rules, steps), rules.max_seqs
    longest = int(load.output_tokens[~refused].max(initial=0))
    state = State(
        machine=cast("Machine", zeros(Machine, 1)[0]),
        requests=cast("list[Request]", requests(load, refused)),
        sequences=cast("list[Sequence]", zeros(Sequence, slots)),
        cohorts=cast("list[Cohort]", zeros(Cohort, cohorts)),
        batches=cast("list[Batch]", zeros(Batch, batches)),
        idle=np.arange(batches, dtype=np.int64) % cohorts,
        spare=np.arange(slots, dtype=np.int64),
        front=np.zeros(slots, np.int64),
        residues=np.zeros((cohorts, rules.block_tokens), np.int64),
        ending=np.full((cohorts, longest + 1), NOBODY, np.int32),
        peak_step=np.zeros((cohorts, 2 * slots + 2), np.int64),
        peak_gap=np.zeros((cohorts, 2 * slots + 2), np.int64),
        stage_free=np.zeros(steps.stages, np.int64),
        gaps=np.zeros(BINS, np.int64),
    )
    for cohort in cast("Any", state.cohorts):
        cohort["head"] = cohort["tail"] = cohort["partial"] = NOBODY
    machine = cast("Any", state.machine)
    machine["free"], machine["spares"] = rules.blocks, slots
    machine["sent"] = load.concurrency or len(load)
    return state


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


def read(state: State, refused: Bool) -> Log:
    """Return the log of a run that has ended."""
    machine, records = cast("Any", state.machine), cast("Any", state.requests)
    counts = ("steps", "prompt_tokens", "decode_tokens", "rows", "context", "pairs")
    limits = ("peak_blocks", "preemptions", "max_queue", "busy_ns", "end_ns")
    totals = Totals(
        **{name: int(machine[name]) for name in counts + limits},
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
    )
