"""A trace: when real requests came, and how long they were."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from apex_opt.sim.steps import Int64


@dataclass(frozen=True)
class Trace:
    """The requests of a trace file, as columns.

    Attributes:
        arrival_ns: (n,) int64, nanoseconds after the first request, not decreasing; n >= 1.
        prompt_tokens: (n,) int64, from 1 to 10^9.
        output_tokens: (n,) int64, from 1 to 10^9.
        format: name of the format.
        path: the file.
        notes: what of the file was not used, and why, a sentence each.
    """

    arrival_ns: Int64
    prompt_tokens: Int64
    output_tokens: Int64
    format: str
    path: Path
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.arrival_ns)
