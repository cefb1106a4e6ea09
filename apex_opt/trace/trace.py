"""A trace: when real requests came, how long they were, and what they had in common."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from apex_opt.sim.load import Prefixes, nothing
from apex_opt.sim.steps import Int64


@dataclass(frozen=True)
class Trace:
    """The requests of a trace file, as columns. Columns of length 0 are not in the file.

    Attributes:
        arrival_ns: (n,) int64, nanoseconds after the first request, not decreasing; n >= 1. All 0
            where the file has no times.
        prompt_tokens: (n,) int64, from 1 to 10^9.
        output_tokens: (n,) int64, from 1 to 10^9.
        format: name of the format.
        path: the file.
        notes: what of the file was not used, repaired or estimated, a sentence each.
        timed: whether the file says when requests came.
        prefix: (n,) int64, the node of `prefixes` with which the prompt begins, or -1.
        prefixes: what prompts share.
        after: (n,) int64, the request before it in the same session, or -1; only where its prompt
            and output can be the beginning of this prompt, and of at most one request.
        think_ns: (n,) int64, from the end of `after` to this request; 0 where there is none.
        priority: (n,) int64, lower goes first.
        options: keys and values of a spec's `[workload]` that the file was read with.
    """

    arrival_ns: Int64
    prompt_tokens: Int64
    output_tokens: Int64
    format: str
    path: Path
    notes: tuple[str, ...] = ()
    timed: bool = True
    prefix: Int64 = field(default_factory=nothing)
    prefixes: Prefixes = field(default_factory=Prefixes)
    after: Int64 = field(default_factory=nothing)
    think_ns: Int64 = field(default_factory=nothing)
    priority: Int64 = field(default_factory=nothing)
    options: tuple[tuple[str, object], ...] = ()

    def __len__(self) -> int:
        return len(self.arrival_ns)

    def take(self, kept: slice) -> Trace:
        """Return consecutive requests; a session whose beginning is left out begins later."""
        first, last, _ = kept.indices(len(self))

        def column(values: Int64) -> Int64:
            return np.ascontiguousarray(values[first:last]) if len(values) else values

        after = column(self.after)
        inside = after >= first
        return replace(
            self,
            arrival_ns=column(self.arrival_ns),
            prompt_tokens=column(self.prompt_tokens),
            output_tokens=column(self.output_tokens),
            prefix=column(self.prefix),
            after=np.where(inside, after - first, -1),
            think_ns=np.where(inside, column(self.think_ns), 0),
            priority=column(self.priority),
        )
