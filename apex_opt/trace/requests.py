"""The requests of a trace while it is read: columns that grow, faults, and what was repaired."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from apex_opt.errors import TraceError
from apex_opt.sim.steps import Int64
from apex_opt.spec.workload import Repair
from apex_opt.trace.arrivals import LATEST_NS
from apex_opt.trace.chains import chained
from apex_opt.trace.readers import source as sources
from apex_opt.trace.readers.extras import Extras
from apex_opt.trace.readers.layout import Cells, Layout
from apex_opt.trace.readers.source import Source
from apex_opt.trace.readers.values import CellError, tokens
from apex_opt.trace.trace import Trace

MOST_SHOWN = 20


class _FailedError(CellError):
    """A request that has no output."""


@dataclass
class Requests:
    """The requests that were read so far, and the faults.

    Attributes:
        layout: the format.
        file: its name for people.
        repair: faults to be mended.
        block: tokens of a block of hashes.
    """

    layout: Layout
    file: str
    repair: frozenset[Repair]
    block: int
    arrival: array[int] = field(default_factory=lambda: array("q"))
    prompt: array[int] = field(default_factory=lambda: array("q"))
    output: array[int] = field(default_factory=lambda: array("q"))
    extras: Extras = field(init=False)
    in_order: bool = field(init=False)
    timed: bool | None = None
    latest: int = 0
    late: int = 0
    failed: int = 0
    dropped: int = 0
    first_dropped: str = ""
    faults: list[str] = field(default_factory=list)
    more_faults: int = 0

    def __post_init__(self) -> None:
        self.extras = Extras(self.layout, self.block)
        self.in_order = not self.layout.unordered and "sort" not in self.repair

    def read(self, source: Source) -> None:
        """Read every request, each into the columns or into the faults."""
        for number, item in source.items:
            try:
                for cells in source.pick(item):
                    self._take(number, cells)
            except ValueError as why:
                self._fault(number, str(why))
            if len(self.arrival) > sources.MOST_REQUESTS:
                raise TraceError(
                    f"{self.file}:{number}: more than {sources.MOST_REQUESTS:,} requests; "
                    "cut the trace into parts"
                )

    def _take(self, number: int, cells: Cells) -> None:
        """Take one request, or note what is wrong with it."""
        try:
            self._request(cells)
        except _FailedError as why:
            if "drop_failed" in self.repair:
                self.failed += 1
            else:
                self._fault(number, str(why))
        except ValueError as why:
            self._fault(number, str(why))

    def _request(self, cells: Cells) -> None:
        """Take one request, or raise ValueError with the column at fault."""
        column = self.layout.arrival
        try:
            at = self._time(cells[0])
            column = self.layout.prompt
            prompt = tokens(cells[1])
            column = self.layout.output
            output = _output(cells[2])
        except _FailedError:
            raise _FailedError(
                f"{column}: 0, a request that failed; the repair `drop_failed` leaves such out"
            ) from None
        except ValueError as why:
            raise CellError(f"{column}: {why}") from None
        if self.layout.extras:  # the last that can be at fault: a request is taken whole
            self.extras.add(*self.extras.parsed(cells[3:], prompt))
        self.timed = cells[0] is not None
        if at < self.latest:
            self.late += 1
        else:
            self.latest = at
        self.arrival.append(at)
        self.prompt.append(prompt)
        self.output.append(output)

    def _time(self, value: object) -> int:
        """Return a time of arrival, no earlier than that of the request before unless it may be."""
        if self.layout.untimed:
            if self.timed is not None and (value is not None) != self.timed:
                raise CellError("missing in some requests and not in others")
            if value is None:
                return 0
        at = self.layout.clock(value)
        if not self.arrival:
            self.latest = at
        elif at < self.latest and self.in_order:
            raise CellError("earlier than the request before; the repair `sort` puts them in order")
        elif abs(at - self.arrival[0]) > LATEST_NS:
            raise CellError("more than ten years after the first request")
        return at

    def _fault(self, number: int, why: str) -> None:
        """Count a line as dropped, or keep what is wrong with it."""
        told = f"{self.file}:{number}: {why}"
        if "drop_faulty" in self.repair:
            self.first_dropped = self.first_dropped or told
            self.dropped += 1
        elif len(self.faults) < MOST_SHOWN:
            self.faults.append(told)
        else:
            self.more_faults += 1

    def trace(self, path: Path, notes: Sequence[str]) -> Trace:
        """Return the trace.

        Args:
            path: the file.
            notes: what to know of the format.

        Raises:
            TraceError: there are faults, or no request.
        """
        if self.more_faults:
            self.faults.append(f"and {self.more_faults:,} more")
        if not self.faults and not self.arrival:
            self.faults.append(self.first_dropped or f"{self.file}: no request in it")
        if self.faults:
            raise TraceError("\n".join(self.faults))
        order = np.argsort(_column(self.arrival), kind="stable")
        at, prompt, output = (
            _column(values)[order] for values in (self.arrival, self.prompt, self.output)
        )
        prefix, prefixes = self.extras.shared(order, prompt)
        chain = chained(self.extras, order, at, prompt, output)
        return Trace(
            at - at[0],
            prompt,
            output,
            self.layout.name,
            path,
            (*notes, *self._repaired(), *chain.notes),
            timed=bool(self.timed),
            prefix=prefix,
            prefixes=prefixes,
            after=chain.after,
            think_ns=chain.think_ns,
            priority=self.extras.column("priority", order),
        )

    def _repaired(self) -> Iterator[str]:
        """Yield what was mended, a sentence each."""
        if self.failed:
            yield f"requests that failed, with no output, are left out: {self.failed:,}"
        if self.dropped:
            yield f"faulty lines are left out: {self.dropped:,}; the first is {self.first_dropped}"
        if self.late and not self.layout.unordered:
            yield f"requests that stood after a later one are put in order: {self.late:,}"


def _output(value: object) -> int:
    """Return the tokens of an output; _FailedError where there are none."""
    if value == "0" or (value == 0 and type(value) is int):
        raise _FailedError
    return tokens(value)


def _column(values: array[int]) -> Int64:
    return np.frombuffer(values, np.int64)
