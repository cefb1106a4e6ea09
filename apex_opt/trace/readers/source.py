"""The requests of a file as cells, whatever it is: lines, JSON or Parquet."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

from apex_opt.errors import TraceError
from apex_opt.spec.faults import shown_file
from apex_opt.trace.readers import parquet
from apex_opt.trace.readers.content import content
from apex_opt.trace.readers.detect import (
    cells_of_line,
    cells_of_record,
    checked,
    detect,
    parsed,
    split,
)
from apex_opt.trace.readers.layout import Cells, Layout, Style
from apex_opt.trace.readers.lines import lines
from apex_opt.trace.readers.stream import values

MOST_REQUESTS = 100_000_000

CSV: tuple[Style, ...] = ("csv",)
JSON: tuple[Style, ...] = ("jsonl", "nested")
TABLES: tuple[Style, ...] = ("csv", "jsonl")
"""Formats whose requests are rows."""


@dataclass(frozen=True)
class Source:
    """The requests of a file.

    Attributes:
        layout: the format.
        items: what the file holds, each with its line.
        pick: what yields the cells of the requests of an item; it raises ValueError.
    """

    layout: Layout
    items: Iterator[tuple[int, Any]]
    pick: Callable[[Any], Iterable[Cells]]


def opened_source(path: Path, layouts: Sequence[Layout], characters_per_token: float) -> Source:
    """Return the requests of a file.

    Args:
        path: a regular file.
        layouts: formats that it may have.
        characters_per_token: of texts.

    Raises:
        TraceError: it cannot be read, or is of none of the formats.
    """
    file = shown_file(str(path))
    match content(path, file):
        case "lines":
            return _lines(path, file, layouts, characters_per_token)
        case "json":
            return _values(path, file, layouts, characters_per_token)
        case "parquet":
            choose = partial(detect, layouts=layouts, styles=TABLES)
            layout, rows = parquet.rows(path, choose, MOST_REQUESTS)
            return Source(layout, rows, lambda cells: (cells,))


def _lines(path: Path, file: str, layouts: Sequence[Layout], characters_per_token: float) -> Source:
    """Return the requests of a CSV, or of lines that are JSON objects each."""
    numbered = lines(path)
    number, raw = next(numbered, (1, b""))
    if not raw:
        raise TraceError(f"{file}: empty")
    try:
        first = _text(raw)
        if first.startswith("{"):
            layout = detect(list(parsed(first)), layouts, JSON)
            records = cells_of_record(layout, characters_per_token)
            whole = chain([(number, raw)], numbered)
            return Source(layout, whole, lambda line: records(parsed(_text(line))))
        columns = split(first)
        layout = detect(columns, layouts, CSV)
    except ValueError as why:
        raise TraceError(f"{file}:{number}: {why}") from None
    cells = cells_of_line(layout, columns)
    return Source(layout, numbered, lambda line: (cells(_text(line)),))


def _values(
    path: Path, file: str, layouts: Sequence[Layout], characters_per_token: float
) -> Source:
    """Return the requests of a JSON list, or of JSON objects over many lines."""
    numbered = values(path)
    number, first = next(numbered, (1, None))
    if first is None:
        raise TraceError(f"{file}: no request in it")
    try:
        layout = detect(list(checked(first)), layouts, JSON)
    except ValueError as why:
        raise TraceError(f"{file}:{number}: {why}") from None
    whole = chain([(number, first)], numbered)
    return Source(layout, whole, cells_of_record(layout, characters_per_token))


def _text(raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError as e:
        why = f"not UTF-8 (byte 0x{raw[e.start]:02x}); save the file as UTF-8"
        raise ValueError(why) from None
