"""The traffic of a spec: the requests of its trace, or requests drawn as it says."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from apex_opt.errors import SpecError
from apex_opt.sim.load import Load
from apex_opt.sim.steps import Int64
from apex_opt.spec.workload import Workload
from apex_opt.trace.arrivals import NS, arrivals
from apex_opt.trace.cut import stretched
from apex_opt.trace.lengths import lengths
from apex_opt.trace.read import read
from apex_opt.trace.trace import Trace

DRAWN_REQUESTS = 2000
"""Requests that are drawn where the spec does not say how many."""


@dataclass(frozen=True)
class Traffic:
    """The requests that a plan must serve.

    Attributes:
        load: the requests, as the simulator plays them.
        description: one line for people, with what of a trace is not used.
        rate_rps: requests a second, over the time in which they arrive; None in a closed loop, and
            where all arrive at once.
    """

    load: Load
    description: str
    rate_rps: float | None


def traffic(workload: Workload, seed: int, folder: Path) -> Traffic:
    """Return the traffic that `workload` describes.

    Arrivals, prompts and outputs have streams of chance of their own: to change one of them leaves
    the others as they were.

    Args:
        workload: as loaded, so that what its arrival needs is there.
        seed: seed of the streams, unless the workload has its own.
        folder: where the path of a trace begins.

    Raises:
        TraceError: the trace has faults.
        SpecError: the trace is shorter than asked, or the traffic goes on for over ten years.
    """
    if workload.arrival == "trace":
        assert workload.file is not None, "checked by the loader"
        trace = read(folder / workload.file, workload.format)
        load = _cut(trace, workload)
        return _described(load, "; ".join([f", from {trace.path.name}", *trace.notes]))
    return _described(_drawn(workload, seed if workload.seed is None else workload.seed), "")


def _cut(trace: Trace, workload: Workload) -> Load:
    """Return the first requests of a trace, its time stretched."""
    n = workload.requests or len(trace)
    if n > len(trace):
        raise SpecError(
            f"workload.requests: {trace.path.name} has {len(trace):,} requests, {n:,} are asked for"
        )
    try:
        at = stretched(trace.arrival_ns[:n], workload.time_scale)
    except OverflowError as why:
        raise SpecError(f"workload.time_scale: {why}") from None
    return Load(at, trace.prompt_tokens[:n], trace.output_tokens[:n])


def _drawn(workload: Workload, seed: int) -> Load:
    """Return requests drawn as `workload` says."""
    assert workload.arrival != "trace"
    assert workload.prompt_tokens is not None, "checked by the loader"
    assert workload.output_tokens is not None, "checked by the loader"
    n = workload.requests or DRAWN_REQUESTS
    when, prompt, output = map(np.random.default_rng, np.random.SeedSequence(seed).spawn(3))
    try:
        at = arrivals(
            workload.arrival,
            n,
            when,
            rate_rps=workload.rate_rps or 1.0,
            burstiness=workload.burstiness,
        )
        return Load(
            at,
            lengths(workload.prompt_tokens, n, prompt),
            lengths(workload.output_tokens, n, output),
            workload.concurrency or 0,
        )
    except ValueError as why:
        raise SpecError(f"workload: {why}") from None


def _described(load: Load, origin: str) -> Traffic:
    seconds = float(load.arrival_ns[-1] - load.arrival_ns[0]) / NS
    rate = (len(load) - 1) / seconds if seconds else None
    if load.concurrency:
        when = f" from {load.concurrency:,} clients in a closed loop"
    elif rate is None:
        when = " at once"
    else:
        when = f" over {_duration(seconds)} ({rate:.3g}/s)"
    words = f"prompts {_lengths(load.prompt_tokens, ' mean', ' p99')}"
    words += f", outputs {_lengths(load.output_tokens, '', '')}"
    requests = f"{len(load):,} request{'' if len(load) == 1 else 's'}"
    return Traffic(load, f"{requests}{when}, {words}{origin}", rate)


def _lengths(tokens: Int64, mean: str, p99: str) -> str:
    """Return `1,155 mean / 4,142 p99`."""
    return f"{tokens.mean():,.0f}{mean} / {np.percentile(tokens, 99):,.0f}{p99}"


def _duration(seconds: float) -> str:
    """Return a time with its natural unit: `58 min`."""
    for unit, size in (("days", 86_400.0), ("h", 3600.0), ("min", 60.0)):
        if seconds >= 2 * size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds:.3g} s"
