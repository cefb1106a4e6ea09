"""The step table of a replica with all that it does: its model, guesses, host memory, encoder."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from apex_opt.cost.drafts import guessing
from apex_opt.cost.encoder import encoding
from apex_opt.cost.offload import reading
from apex_opt.cost.shape import Shape
from apex_opt.cost.step_parts import grid, spread
from apex_opt.cost.steps import FS, NS, step_table
from apex_opt.sim.steps import StepTable


def replica_table(shape: Shape) -> StepTable:
    """Return the step table of a replica.

    Raises:
        ValueError: see `step_table`; or the link to host memory is needed and not known.
    """
    # A row is a sampled token: with guesses a sequence has several.
    rows = replace(shape.settings, max_num_seqs=shape.settings.rows)
    table = _with_host(shape, step_table(replace(shape, settings=rows)))
    return _with_encoder(shape, _with_drafts(shape, table))


def _with_host(shape: Shape, table: StepTable) -> StepTable:
    """Return the table with what a step reads of weights in host memory."""
    costs = reading(shape, np.arange(table.max_tokens + 1, dtype=np.float64))
    if costs is None:
        return table
    first = np.unique(table.row_of, return_index=True)[1]  # stages of one row read alike
    ns = np.ceil(np.stack([costs[stage].seconds for stage in first]) * NS).astype(np.int64)
    joules = np.sum([c.joules for c in costs], axis=0) * shape.stage_devices
    return replace(
        table,
        decode_ns=table.decode_ns + ns,
        mixed_ns=table.mixed_ns + ns,
        decode_j=table.decode_j + joules,
        mixed_j=table.mixed_j + joules,
    )


def _with_drafts(shape: Shape, table: StepTable) -> StepTable:
    """Return the table with what guessing takes."""
    cost = guessing(shape, table)
    if cost is None:
        return table
    ns, joules = cost
    return replace(table, draft_ns=np.ceil(ns).astype(np.int64), draft_j=joules)


def _with_encoder(shape: Shape, table: StepTable) -> StepTable:
    """Return the table with what the encoder takes, on the first stage."""
    at = grid(table.max_tokens, 0)
    found = encoding(shape, at.astype(np.float64))
    if found is None:
        return table
    whole = spread(found.tokens, at, np.arange(table.max_tokens + 1))
    ns = np.zeros_like(table.decode_ns)
    ns[0] = np.ceil(whole.seconds * NS)  # no other stage shares the row of the first
    pair_fs = np.zeros(len(ns), np.int64)
    pair_fs[0] = np.ceil(found.pair.seconds[0] * FS)
    return replace(
        table,
        encoder_ns=ns,
        encoder_j=whole.joules * shape.tensor,
        encoder_pair_fs=pair_fs,
        encoder_pair_j=float(found.pair.joules[0]) * shape.tensor,
    )
