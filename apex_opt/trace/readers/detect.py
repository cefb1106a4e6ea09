"""Which format a file has: told by the names of its columns, never by how large its numbers are."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Collection, Iterator, Sequence
from operator import itemgetter

from apex_opt.spec.words import name, nearest
from apex_opt.trace.readers.apex import APEX
from apex_opt.trace.readers.azure import AZURE
from apex_opt.trace.readers.bailian import BAILIAN
from apex_opt.trace.readers.bench import BENCH
from apex_opt.trace.readers.burstgpt import BURSTGPT
from apex_opt.trace.readers.inference_perf import INFERENCE_PERF
from apex_opt.trace.readers.layout import Cells, Layout, Record, Style
from apex_opt.trace.readers.llmservingsim import LLMSERVINGSIM
from apex_opt.trace.readers.mooncake import MOONCAKE
from apex_opt.trace.readers.plain import PLAIN, PLAIN_CSV
from apex_opt.trace.readers.sharegpt import SHAREGPT
from apex_opt.trace.readers.splitwise import SPLITWISE
from apex_opt.trace.readers.values import CellError
from apex_opt.trace.readers.vidur import VIDUR, VIDUR_LENGTHS

LAYOUTS = (
    AZURE,
    VIDUR,
    VIDUR_LENGTHS,
    BURSTGPT,
    SPLITWISE,
    PLAIN_CSV,
    PLAIN,
    BAILIAN,
    MOONCAKE,
    APEX,
    LLMSERVINGSIM,
    INFERENCE_PERF,
    SHAREGPT,
    BENCH,
)
"""A format stands before those whose columns it has and more."""

FORMATS = tuple(dict.fromkeys(layout.name for layout in LAYOUTS))
"""Names of the formats; a format may be written in two ways."""

MOST_NAMED = 12
"""Columns of a file that a message names."""


def named(format_name: str) -> tuple[Layout, ...]:
    """Return the ways to write the format of that name.

    Raises:
        ValueError: there is none.
    """
    found = tuple(layout for layout in LAYOUTS if layout.name == format_name)
    if found:
        return found
    near = nearest(format_name, FORMATS)
    raise ValueError(f"unknown format {name(format_name)}; known are {', '.join(FORMATS)}{near}")


def detect(columns: list[str], layouts: Sequence[Layout], styles: Collection[Style]) -> Layout:
    """Return the format that has these columns, or keys.

    Args:
        columns: of the file, in order.
        layouts: those that it may have.
        styles: how the file may be written.

    Raises:
        ValueError: it has none of them.
    """
    for layout in layouts:
        if layout.style in styles and layout.fits(columns):
            return layout
    wanted = layouts[0]
    if len({layout.name for layout in layouts}) == 1:
        raise ValueError(f"not of the format {wanted.name}, which has {_said(wanted.columns)}")
    known = {layout.name: layout for layout in reversed(layouts) if layout.style in styles}
    formats = "; ".join(f"{one.name}: {_said(one.columns)}" for one in reversed(known.values()))
    raise ValueError(f"no known format has {_said(columns)}. Known are {formats}")


def cells_of_line(layout: Layout, columns: list[str]) -> Callable[[str], Cells]:
    """Return what picks the cells that are read from a line of a CSV; it raises ValueError."""
    wanted = [*layout.read, *(column for _, column in layout.extras)]
    width = len(columns)
    # What is not there is found in a cell beyond the last, which is None.
    places = [columns.index(column) if column in columns else width for column in wanted]
    chosen = itemgetter(*places)

    def pick(line: str) -> Cells:
        cells: list[object] = [*split(line)]
        if len(cells) != width:
            raise ValueError(f"must have {width} columns, got {len(cells):,}")
        cells.append(None)
        found: Cells = chosen(cells)
        return found

    return pick


def cells_of_record(
    layout: Layout, characters_per_token: float
) -> Callable[[object], Iterator[Cells]]:
    """Return what yields the cells of each request of a JSON object; it raises ValueError."""
    required, extras = layout.read, [column for _, column in layout.extras]

    def pick(value: object) -> Iterator[Cells]:
        record = checked(value)
        try:
            if layout.split is not None:
                yield from layout.split(record, characters_per_token)
            else:
                cells = tuple(record[column] for column in required)
                yield cells + tuple(record.get(column) for column in extras)
        except KeyError as missing:
            raise ValueError(f"the key `{missing.args[0]}` is missing") from None

    return pick


def checked(value: object) -> Record:
    """Return a JSON value as an object.

    Raises:
        ValueError: it is none.
    """
    if isinstance(value, dict):
        return value
    raise CellError("not a JSON object")


def split(line: str) -> list[str]:
    """Return the cells of a line of a CSV.

    Raises:
        ValueError: a quote is wrong.
    """
    # Quotes are rare, and cost ten times more.
    if '"' not in line:
        return line.split(",")
    try:
        return next(csv.reader([line], strict=True))
    except csv.Error:
        raise ValueError("a quote is not closed, or stands inside a cell") from None


def parsed(line: str) -> Record:
    """Return a line as a JSON object.

    Raises:
        ValueError: it is none.
    """
    try:
        value = json.loads(line)
    except RecursionError:
        raise ValueError("not a JSON object: nested too deep") from None
    except ValueError:  # syntax, or an integer of thousands of digits
        raise ValueError("not a JSON object, or cut off") from None
    return checked(value)


def _said(columns: tuple[str, ...] | list[str]) -> str:
    text = ", ".join(name(column) for column in columns[:MOST_NAMED])
    more = len(columns) - MOST_NAMED
    return f"the columns {text}" + (f" and {more:,} more" if more > 0 else "")
