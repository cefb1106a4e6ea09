"""Memory of one device, by component, as bars."""

from __future__ import annotations

from rich.console import Console, ConsoleOptions, RenderResult
from rich.measure import Measurement
from rich.segment import Segment

from apex_opt.plan.result import Deployment
from apex_opt.report.layout import Section, section, table
from apex_opt.report.numbers import gib, percent

PARTS = {
    "weights": "weights",
    "KV cache": "kv_cache",
    "activations": "activations",
    "CUDA graphs": "graphs",
    "other": "other",
    "reserve": "reserve",
    "free": "free",
}
BAR_WIDTH = 32


class Bar:
    """A part of a whole: where it begins and ends, drawn on a line of fixed width."""

    def __init__(self, begin: float, end: float) -> None:
        self.begin, self.end = begin, end

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        full, empty = ("#", ".") if options.ascii_only else ("█", "·")
        left = round(self.begin * BAR_WIDTH)
        right = max(round(self.end * BAR_WIDTH), left + (self.end > self.begin))
        yield Segment(empty * left + full * (right - left) + empty * (BAR_WIDTH - right))

    def __rich_measure__(self, _: Console, __: ConsoleOptions) -> Measurement:
        return Measurement(BAR_WIDTH, BAR_WIDTH)


def memory(deployment: Deployment) -> Section:
    """Return the memory of one device of the fullest stage."""
    held = deployment.replica.memory
    grid = table("part", "GiB", "share", "of one device")
    begin = 0
    for name, field in PARTS.items():
        size = getattr(held, field)
        if size:
            bar = Bar(begin / held.total, (begin + size) / held.total)
            grid.add_row(name, gib(size), percent(size / held.total), bar)
        begin += size
    grid.add_row("total", gib(held.total), "", "")
    replica = deployment.replica
    role = "replica" if replica.role == "mixed" else f"{replica.role} replica"
    tokens = f"KV cache of a {role}: {replica.kv_tokens:,} tokens"
    pool = replica.stages[replica.fullest_stage].pool if replica.stages else replica.pool
    words = f"Memory of one {pool} device ({tokens})"
    return section(words, grid)
