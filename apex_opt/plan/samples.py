"""Several samples of one prompt: to people they are one request."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from apex_opt.sim.load import Load
from apex_opt.sim.log import DONE, REJECTED, Log
from apex_opt.sim.steps import Int64


def folded(load: Load, log: Log, samples: int) -> tuple[Load, Log]:
    """Return the requests of a run, with so many in a row made one.

    Its first token is the first that any of them samples, its last the last; it is done if all are.
    Its time per token is that of the longest output, its largest gap the largest of all. Totals and
    the times between all tokens stay those of the run.

    Args:
        load: an open loop without sessions, as `apex_opt.trace.prompts.sampled` makes it.
        log: what happened to it.
        samples: at least 1; 1 changes nothing.
    """
    if samples == 1:
        return load, log

    def rows(column: Int64) -> Int64:
        return column.reshape(-1, samples)

    one = Load(
        arrival_ns=rows(load.arrival_ns)[:, 0],
        prompt_tokens=rows(load.prompt_tokens)[:, 0],
        output_tokens=rows(load.output_tokens).max(axis=1),
    )
    done = rows(log.status == DONE).all(axis=1)
    return one, replace(
        log,
        arrival_ns=rows(log.arrival_ns)[:, 0],
        start_ns=rows(log.start_ns).min(axis=1),
        first_ns=rows(log.first_ns).min(axis=1),
        last_ns=np.where(done, rows(log.last_ns).max(axis=1), -1),
        gap_ns=rows(log.gap_ns).max(axis=1),
        status=np.where(done, DONE, REJECTED).astype(np.int8),
        preempted=log.preempted.reshape(-1, samples).sum(axis=1).astype(np.int32),
    )
