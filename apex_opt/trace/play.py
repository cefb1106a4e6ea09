"""A trace as a spec plays it: a part of it, its time stretched, its sessions in step or not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from apex_opt.errors import CallError, SpecError
from apex_opt.sim.load import Load
from apex_opt.spec.workload import Workload
from apex_opt.trace.cut import Part, cut
from apex_opt.trace.read import read
from apex_opt.trace.trace import Trace


def opened(workload: Workload, file: str, folder: Path) -> Trace:
    """Return the trace `file`, read as `workload` says.

    Args:
        workload: format, repairs, block and characters of a token are read.
        file: the trace, a path relative to `folder`.
        folder: where the path begins.

    Raises:
        TraceError: the trace has faults.
    """
    return read(
        folder / file,
        workload.format,
        repair=workload.repair,
        block_tokens=workload.block_tokens,
        characters_per_token=workload.characters_per_token,
    )


def played(trace: Trace, workload: Workload) -> Load:
    """Return the requests of `trace` as `workload` plays them.

    Raises:
        SpecError: the trace has no times, no such part, or shares prompts where the spec says how.
    """
    if not trace.timed:
        why = 'write `lengths_from` in place of `file`, and `arrival = "poisson"` or another'
        raise SpecError(f"workload.file: {trace.path.name} does not say when requests came; {why}")
    part = Part(
        from_s=workload.start_s,
        until_s=None if workload.duration_s is None else workload.start_s + workload.duration_s,
        requests=workload.requests,
        time_scale=workload.time_scale,
    )
    try:
        trace = cut(trace, part)
    except CallError as why:
        raise SpecError(f"workload: {trace.path.name}: {why}") from None
    load = Load(
        trace.arrival_ns,
        trace.prompt_tokens,
        trace.output_tokens,
        prefix=trace.prefix,
        prefixes=trace.prefixes,
        priority=trace.priority,
    )
    if workload.later_turns == "after_reply":
        load = _in_sessions(load, trace)
    _check_shares(load, workload, trace.path.name)
    return load


def _in_sessions(load: Load, trace: Trace) -> Load:
    """Return `load` with later turns that wait for the reply before them."""
    if not (trace.after >= 0).any():
        why = f"{trace.path.name} has no sessions of several turns there"
        raise SpecError(f"workload.later_turns: {why}")
    prefix = np.where(trace.after < 0, load.prefix, -1) if len(load.prefix) else load.prefix
    return replace(load, prefix=prefix, after=trace.after, think_ns=trace.think_ns)


def _check_shares(load: Load, workload: Workload, name: str) -> None:
    """Refuse what the trace says already, or what would contradict it.

    Raises:
        SpecError: prefixes, samples or priorities are those of the trace and of the spec.
    """
    if workload.prefix is not None and (len(load.prefixes) or len(load.after)):
        raise SpecError(f"workload.prefix: {name} says itself what its prompts share")
    if workload.samples > 1 and len(load.after):
        raise SpecError("workload.samples: cannot stand beside turns that come after a reply")
    if workload.priority_shares is not None and len(load.priority):
        raise SpecError(f"workload.priority_shares: {name} has priorities of its own")
