"""Play the requests of one replica: check, lay out the state, run the loop, read the log."""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import lru_cache
from typing import Any, cast

import numpy as np

from apex_opt.sim.check import check
from apex_opt.sim.engine import EngineRules
from apex_opt.sim.layout import PATIENCE, Bool, fixed, for_share, given, lay_out, table
from apex_opt.sim.line import Line
from apex_opt.sim.load import Load
from apex_opt.sim.log import DONE, REJECTED, Log
from apex_opt.sim.loop import run
from apex_opt.sim.state import Given, Machine, State, Table
from apex_opt.sim.steps import Float64, StepTable
from apex_opt.sim.totals import Totals

KEPT = 16
"""Laid out tables that are kept, a megabyte each."""


class EndlessRunError(ValueError):
    """Sequences preempt each other for ever, so that the run would not end."""


ENDLESS = (
    f"rules: {PATIENCE} preemptions for each of max_seqs in a row without a token, the run would "
    "not end; set full_sequence_gate or give more blocks"
)


@dataclass(frozen=True)
class Ready:
    """What replicas of one kind have in common: checked rules, constants, their table laid out."""

    rules: EngineRules
    steps: StepTable
    given: Given
    table: Table


def ready(load: Load, rules: EngineRules, steps: StepTable) -> Ready:
    """Return what it takes to play `load`, or any requests of it, on replicas of one kind.

    Raises:
        ValueError: the numbers are unsound (see `apex_opt.sim.check`).
    """
    check(load, rules, steps)
    return Ready(rules, steps, given(load, rules, steps), laid_out(steps))


@lru_cache(maxsize=KEPT)
def laid_out(steps: StepTable) -> Table:
    """Return a step table as the loop reads it; plans of one kind share it."""
    return table(steps)


def play(load: Load, rules: EngineRules, steps: StepTable, rows: int = 0) -> Log:
    """Play `load` on one replica from an empty start until every request has ended.

    Rules: see `apex_opt.sim.loop`. Same input, same bytes. Memory is O(requests + max_seqs x
    stages + longest output x stages). `rows` is the length of the time line, even; 0: none.

    Raises:
        ValueError: the numbers are unsound (see `apex_opt.sim.check`), or sequences preempt each
            other for ever, which can only happen in a pipeline without the full-sequence gate.
    """
    return play_ready(load, ready(load, rules, steps), rows)


def play_ready(load: Load, kind: Ready, rows: int = 0) -> Log:
    """Play requests on one replica of a kind that was made ready for them, or for more than them.

    Raises:
        ValueError: sequences preempt each other for ever.
    """
    rules, steps = kind.rules, kind.steps
    refused = rejects(load, rules)
    state = lay_out(load, rules, steps, refused, rows)
    run(for_share(kind.given, load), kind.table, state)
    if unfinished(state):
        raise EndlessRunError(ENDLESS)
    return read(state, refused)


def unfinished(state: State) -> bool:
    """Return whether a run was given up: somebody still runs or waits."""
    machines = cast("Any", state.machines)
    return bool((machines["running"] + machines["waiting"]).any())


def rejects(load: Load, rules: EngineRules) -> Bool:
    """Return (n,) whether each request is rejected, because it could never run to its end.

    It is too long for the model; or for all blocks together, without its last token, which is
    never cached; or its prompt for one step, where chunked prefill is off; or the encoder's input.
    """
    tokens = load.prompt_tokens + load.output_tokens
    blocks = rules.token_blocks * -(-(tokens - 1) // rules.block_tokens) + fixed(load, rules)
    whole = rules.max_model_tokens if rules.chunked_prefill else rules.max_batch_tokens
    refused = (
        (tokens > rules.max_model_tokens) | (blocks > rules.blocks) | (load.prompt_tokens > whole)
    )
    if rules.max_encoder_tokens and len(load.encoder_tokens):
        refused |= load.encoder_tokens > rules.max_encoder_tokens
    return refused


def read(state: State, refused: Bool) -> Log:
    """Return the log of a run of one replica that has ended."""
    machine = state.machines[0]
    return log(state, refused, totals(machine), line(machine, state.line[0]))


def log(state: State, refused: Bool, did: Totals, over_time: Line) -> Log:
    """Return the log of a run that has ended, with what all its replicas did."""
    records = cast("Any", state.requests)
    return Log(
        arrival_ns=records["arrival"].copy(),
        start_ns=records["start"].copy(),
        first_ns=records["first"].copy(),
        last_ns=records["last"].copy(),
        gap_ns=records["gap"].copy(),
        status=np.where(refused, REJECTED, DONE).astype(np.int8),
        preempted=records["preempted"].copy(),
        gaps=state.gaps,
        totals=did,
        line=over_time,
    )


def line(machine: Machine, tracks: Float64) -> Line:
    """Return the time line of a replica."""
    return Line(int(cast("Any", machine)["tick_ns"]), tracks)


def totals(machine: Machine) -> Totals:
    """Return what a replica did in all."""
    record = cast("Any", machine)
    values = dict(zip(record.dtype.names, record.item(), strict=True))
    return Totals(**{name: values[name] for name in TOTALS})


TOTALS = tuple(field.name for field in fields(Totals))
