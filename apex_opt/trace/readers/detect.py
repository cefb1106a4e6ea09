"""Which format a file has: told by the names of its columns, never by how large its numbers are."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable

from apex_opt.spec.words import name, nearest
from apex_opt.trace.readers.apex import APEX
from apex_opt.trace.readers.azure import AZURE
from apex_opt.trace.readers.bailian import BAILIAN
from apex_opt.trace.readers.burstgpt import BURSTGPT
from apex_opt.trace.readers.layout import Layout
from apex_opt.trace.readers.llmservingsim import LLMSERVINGSIM
from apex_opt.trace.readers.mooncake import MOONCAKE
from apex_opt.trace.readers.plain import PLAIN
from apex_opt.trace.readers.splitwise import SPLITWISE
from apex_opt.trace.readers.vidur import VIDUR

LAYOUTS = (AZURE, VIDUR, BURSTGPT, SPLITWISE, PLAIN, BAILIAN, MOONCAKE, APEX, LLMSERVINGSIM)
"""A format stands before those whose columns it has and more."""

Cells = tuple[object, object, object]
"""Arrival, prompt and output of a request, as the file has them."""

MOST_NAMED = 12
"""Columns of a file that a message names."""


def named(format_name: str) -> Layout:
    """Return the format of that name.

    Raises:
        ValueError: there is none.
    """
    for layout in LAYOUTS:
        if layout.name == format_name:
            return layout
    known = ", ".join(layout.name for layout in LAYOUTS)
    near = nearest(format_name, [layout.name for layout in LAYOUTS])
    raise ValueError(f"unknown format {name(format_name)}; known are {known}{near}")


def detect(first: str, wanted: Layout | None) -> tuple[Layout, list[str]]:
    """Return the format of a file, and its columns in order.

    Args:
        first: the first line: a header, or a JSON object.
        wanted: the format that it should have; None: any.

    Raises:
        ValueError: it has another format, or none that is known.
    """
    is_json = first.startswith("{")
    columns = list(_object(first)) if is_json else _split(first)
    for layout in (wanted,) if wanted else LAYOUTS:
        if (layout.style == "jsonl") == is_json and layout.fits(columns):
            return layout, columns
    if wanted:
        raise ValueError(f"not of the format {wanted.name}, which has {_said(wanted.columns)}")
    known = (layout for layout in LAYOUTS if (layout.style == "jsonl") == is_json)
    formats = "; ".join(f"{layout.name}: {_said(layout.columns)}" for layout in known)
    raise ValueError(f"no known format has {_said(columns)}. Known are {formats}")


def picker(layout: Layout, columns: list[str]) -> Callable[[str], Cells]:
    """Return what picks arrival, prompt and output from a line; it raises ValueError."""
    if layout.style == "jsonl":
        return _json_picker(layout)
    arrival, prompt, output = (columns.index(column) for column in layout.read)

    def pick(line: str) -> Cells:
        cells = _split(line)
        if len(cells) != len(columns):
            raise ValueError(f"must have {len(columns)} columns, got {len(cells):,}")
        return cells[arrival], cells[prompt], cells[output]

    return pick


def _json_picker(layout: Layout) -> Callable[[str], Cells]:
    arrival, prompt, output = layout.read

    def pick(line: str) -> Cells:
        record = _object(line)
        try:
            return record[arrival], record[prompt], record[output]
        except KeyError as missing:
            raise ValueError(f"the key `{missing.args[0]}` is missing") from None

    return pick


def _split(line: str) -> list[str]:
    """Return the cells of a line of a CSV; quotes are rare, and cost ten times more."""
    if '"' not in line:
        return line.split(",")
    try:
        return next(csv.reader([line], strict=True))
    except csv.Error:
        raise ValueError("a quote is not closed, or stands inside a cell") from None


def _object(line: str) -> dict[str, object]:
    try:
        value = json.loads(line)
    except RecursionError:
        raise ValueError("not a JSON object: nested too deep") from None
    except ValueError:  # syntax, or an integer of thousands of digits
        raise ValueError("not a JSON object, or cut off") from None
    if isinstance(value, dict):
        return value
    raise ValueError("not a JSON object")


def _said(columns: tuple[str, ...] | list[str]) -> str:
    text = ", ".join(name(column) for column in columns[:MOST_NAMED])
    more = len(columns) - MOST_NAMED
    return f"the columns {text}" + (f" and {more:,} more" if more > 0 else "")
