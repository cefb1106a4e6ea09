"""The simulator alone: does it queue, batch and preempt as the engine did, given its step times?

A step is taken to cost a fixed time and so much a token, a sequence that decodes and a cached
token that decode attention reads. The four numbers are fitted to the measured TPOT of each request
of the run; TTFT and E2E are then what the scheduler makes of them, and are not fitted. Cases are
those whose trace has `measured_ttft_ms` and `measured_e2e_ms` of each request. One JSON line each:

    {"case", "step_ms", "token_us", "sequence_us", "context_ns", "ttft_error", "tpot_error",
     "e2e_error"}

with errors of the means, predicted less measured, in percent.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares

from apex_opt.plan.use import Part
from apex_opt.sim import metrics
from apex_opt.sim.load import Load
from apex_opt.sim.log import Log
from apex_opt.sim.replica import play
from apex_opt.sim.steps import StepTable
from benchmarks.fidelity.case import Case
from benchmarks.fidelity.setup import prepare
from benchmarks.lines import Line

Array = NDArray[np.float64]
STARTS = ((5.0, 20.0, 5.0, 20.0), (15.0, 60.0, 20.0, 60.0), (30.0, 150.0, 100.0, 200.0))
"""Where the fit begins: the best of several ends is kept, the simulation is not smooth."""

LEAST, MOST = (0.1, 0.1, 0.1, 0.1), (200.0, 2000.0, 5000.0, 5000.0)
"""Bounds of the four numbers."""

FINER = 1e3
"""Logarithms are taken of so many times the numbers, so that none is near 0: differences are taken
over a share of them.
"""


class Measured(NamedTuple):
    """Columns of a trace, (n,) each, ms."""

    ttft_ms: Array
    tpot_ms: Array
    e2e_ms: Array


def has_times(case: Case) -> bool:
    """Return whether the trace of a case has a measured time of each request."""
    if case.workload["arrival"] != "trace":
        return False
    with (case.folder / case.workload["file"]).open(encoding="utf-8") as trace:
        first = json.loads(trace.readline())
    return set(first) >= {"measured_ttft_ms", "measured_e2e_ms", "output_tokens"}


def measured(case: Case) -> Measured:
    """Return what was measured of each request of a case."""
    text = (case.folder / case.workload["file"]).read_text(encoding="utf-8")
    rows = [json.loads(one) for one in text.splitlines() if one.strip()]
    ttft, e2e, tokens = (
        np.array([row[key] for row in rows], np.float64)
        for key in ("measured_ttft_ms", "measured_e2e_ms", "output_tokens")
    )
    return Measured(ttft, (e2e - ttft) / np.maximum(tokens - 1, 1), e2e)


def linear(table: StepTable, numbers: Array) -> StepTable:
    """Return a step table with the sizes of `table` and linear times.

    Args:
        table: of one stage.
        numbers: (4,) ms a step, us a token, us a decoding sequence, ns a cached token.
    """
    step, token, sequence, context = numbers
    tokens = np.arange(table.max_tokens + 1)
    times = np.where(tokens > 0, 1e6 * step + 1e3 * token * tokens, 0.0).astype(np.int64)
    rows = (1e3 * sequence * np.arange(table.max_seqs + 1)).astype(np.int64)
    none = np.zeros_like(table.context_fs)
    return replace(
        table,
        decode_ns=times[None, :],
        mixed_ns=times[None, :],
        rows_ns=rows[None, :],
        context_fs=np.array([round(1e6 * context)], np.int64),
        window_fs=none,
        pair_fs=none,
        window_pair_fs=none,
        history_fs=none,
    )


def play_linear(part: Part, load: Load, numbers: Array) -> Log:
    """Return the log of one replica whose steps take what four numbers say: see `linear`."""
    return play(load, part.candidate.rules, linear(part.candidate.steps, numbers))


def fitted(part: Part, load: Load, tpot_ms: Array) -> Array:
    """Return the four numbers with which simulated TPOT is nearest to what was measured."""
    known = load.output_tokens > 1

    def misses(logs: Array) -> Array:
        simulated = (
            metrics.tpot(play_linear(part, load, np.exp(logs) / FINER), load.output_tokens) / 1e6
        )
        return np.asarray(np.log(simulated / tpot_ms[known]))

    limits = np.log(FINER * np.array((LEAST, MOST)))
    ends = [
        least_squares(
            misses, np.log(FINER * np.array(start)), bounds=limits, diff_step=3e-3, max_nfev=60
        )
        for start in STARTS
    ]
    return np.asarray(np.exp(min(ends, key=lambda end: float(end.cost)).x) / FINER)


def line(case: Case) -> Line:
    """Return the numbers of a case and the errors of the simulator with them."""
    run = prepare(case)
    found = measured(case)
    numbers = fitted(run.part, run.load, found.tpot_ms)
    log = play_linear(run.part, run.load, numbers)
    names = ("step_ms", "token_us", "sequence_us", "context_ns")
    simulated = {
        "ttft": metrics.ttft(log).mean() / found.ttft_ms.mean(),
        "tpot": metrics.tpot(log, run.load.output_tokens).mean() / found.tpot_ms.mean(),
        "e2e": metrics.e2e(log).mean() / found.e2e_ms.mean(),
    }
    return (
        {"case": case.name}
        | {name: round(float(number), 3) for name, number in zip(names, numbers, strict=True)}
        | {
            f"{key}_error": round(100 * (float(ratio) / 1e6 - 1), 2)
            for key, ratio in simulated.items()
        }
    )
