"""What happened to the requests, as columns."""

from __future__ import annotations

from dataclasses import dataclass, field

from apex_opt.sim.line import Line, no_line
from apex_opt.sim.steps import Int8, Int32, Int64
from apex_opt.sim.totals import Totals

DONE, REJECTED = 0, 1


@dataclass(frozen=True)
class Log:
    """What happened to each request, in order of the load, and in all. Times that never came: -1.

    Attributes:
        arrival_ns: (n,) when it arrived; set by the clients in a closed loop.
        start_ns: (n,) start of the step in which it was first scheduled.
        first_ns: (n,) end of the step that sampled its first token.
        last_ns: (n,) end of the step that sampled its last token.
        gap_ns: (n,) largest time between two of its tokens; 0 where it has only one.
        status: (n,) `DONE` or `REJECTED`.
        preempted: (n,) how often it lost its cache.
        gaps: (BINS,) times between tokens that follow each other, counted; see `metrics.edge`.
        totals: of the replica.
        line: its time line, if one was asked for.
    """

    arrival_ns: Int64
    start_ns: Int64
    first_ns: Int64
    last_ns: Int64
    gap_ns: Int64
    status: Int8
    preempted: Int32
    gaps: Int64
    totals: Totals
    line: Line = field(default_factory=no_line)
