"""Reading a trace: its format is told by its columns, its faults all at once."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

import numpy as np

from apex_opt.errors import TraceError
from apex_opt.sim.steps import Int64
from apex_opt.spec.faults import shown_file
from apex_opt.trace.arrivals import LATEST_NS
from apex_opt.trace.readers.detect import Cells, detect, named, picker
from apex_opt.trace.readers.layout import Layout
from apex_opt.trace.readers.lines import lines
from apex_opt.trace.readers.values import tokens
from apex_opt.trace.trace import Trace

MOST_REQUESTS = 100_000_000
MOST_SHOWN = 20

Lines = Iterator[tuple[int, bytes]]


def read(path: str | Path, format: str | None = None) -> Trace:  # noqa: A002  # as in the spec
    """Read the trace in the file `path`, plain or packed with gzip.

    Args:
        path: a regular file.
        format: name of the format it must have; None: told by its columns.

    Raises:
        TraceError: faults of the file, one `file:line: why` a line, the first 20 of them.
    """
    path = Path(path)
    file = shown_file(str(path))
    source = lines(path)
    try:
        wanted = named(format) if format is not None else None
    except ValueError as why:
        raise TraceError(f"{file}: {why}") from None
    number, raw = next(source, (1, b""))
    if not raw:
        raise TraceError(f"{file}: empty")
    try:
        layout, columns = detect(_text(raw), wanted)
    except ValueError as why:
        raise TraceError(f"{file}:{number}: {why}") from None
    if layout.style == "jsonl":
        source = chain([(number, raw)], source)
    requests = _Requests(layout, file)
    requests.read(source, picker(layout, columns))
    return requests.trace(path)


@dataclass
class _Requests:
    """The requests that were read so far, and the faults."""

    layout: Layout
    file: str
    arrival: array[int] = field(default_factory=lambda: array("q"))
    prompt: array[int] = field(default_factory=lambda: array("q"))
    output: array[int] = field(default_factory=lambda: array("q"))
    failed: int = 0
    faults: list[str] = field(default_factory=list)
    more_faults: int = 0

    def read(self, source: Lines, pick: Callable[[str], Cells]) -> None:
        """Read all lines, each into the columns or into the faults."""
        for number, raw in source:
            try:
                self._request(pick(_text(raw)))
            except ValueError as why:
                if len(self.faults) < MOST_SHOWN:
                    self.faults.append(f"{self.file}:{number}: {why}")
                else:
                    self.more_faults += 1
            if len(self.arrival) > MOST_REQUESTS:
                raise TraceError(
                    f"{self.file}:{number}: more than {MOST_REQUESTS:,} requests; "
                    "cut the trace into parts"
                )

    def _request(self, cells: Cells) -> None:
        """Take one request, or raise ValueError with the column at fault."""
        column = self.layout.arrival
        try:
            at = self._time(cells[0])
            column = self.layout.prompt
            prompt = tokens(cells[1])
            column = self.layout.output
            if self.layout.failed and cells[2] == "0":
                self.failed += 1
                return
            output = tokens(cells[2])
        except ValueError as why:
            raise ValueError(f"{column}: {why}") from None
        self.arrival.append(at)
        self.prompt.append(prompt)
        self.output.append(output)

    def _time(self, value: object) -> int:
        """Return a time of arrival, no earlier than that of the request before."""
        at = self.layout.clock(value)
        if self.arrival:
            if at < self.arrival[-1]:
                raise ValueError("earlier than the request before; sort the trace by time first")
            if at - self.arrival[0] > LATEST_NS:
                raise ValueError("more than ten years after the first request")
        return at

    def trace(self, path: Path) -> Trace:
        """Return the trace, if there is no fault."""
        if self.more_faults:
            self.faults.append(f"and {self.more_faults:,} more")
        if not self.faults and not self.arrival:
            self.faults.append(f"{self.file}: no request in it")
        if self.faults:
            raise TraceError("\n".join(self.faults))
        at = _column(self.arrival)
        notes = [self.layout.note] if self.layout.note else []
        if self.failed:
            notes.append(f"requests that failed, with no output, are left out: {self.failed:,}")
        return Trace(
            at - at[0],
            _column(self.prompt),
            _column(self.output),
            self.layout.name,
            path,
            tuple(notes),
        )


def _column(values: array[int]) -> Int64:
    return np.frombuffer(values, np.int64).copy()


def _text(raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError as e:
        why = f"not UTF-8 (byte 0x{raw[e.start]:02x}); save the file as UTF-8"
        raise ValueError(why) from None
