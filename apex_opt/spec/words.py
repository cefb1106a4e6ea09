"""How faults speak of values and types: short, printable, without the validator's own words."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from functools import cache
from typing import Any, get_origin

from apex_opt.spec.lines import Loc
from apex_opt.spec.model import Model
from apex_opt.spec.pools import Device
from apex_opt.spec.quantization import KvFormat, WeightFormat
from apex_opt.spec.table import Expected, OneOrMany, Table
from apex_opt.spec.tree import Kind, choices, kind, literals

SHORT = 60
UNBOUNDED = 10**9  # an upper limit from here on is a guard, not worth a word

CATALOGUED: dict[type[Table], str] = {
    Model: "a table with the name of a model of the catalogue",
    Device: 'a name of the catalogue such as "h100-sxm-80gb", or a table',
    WeightFormat: 'a name of the catalogue such as "fp8", or a table',
    KvFormat: 'a name of the catalogue such as "fp8", or a table',
}
"""What may be written for a table that can also come from the catalogue."""


def printable(text: str) -> str:
    """Return `text` in at most 60 characters, control characters escaped."""
    cut = text if len(text) <= SHORT else text[: SHORT - 1] + "…"
    return "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in cut)


def quoted(text: str) -> str:
    """Return `text` as a string that can be written, shortened."""
    return '"' + printable(text.replace("\\", "\\\\").replace('"', '\\"')) + '"'


def name(text: str) -> str:
    """Return `text` as a name in backticks, shortened."""
    return f"`{printable(text)}`"


def key_text(loc: Loc) -> str:
    """Return a place as a key is written: `pools[0].device`, `model.layers."a b".norms`."""
    text = ""
    for step in loc:
        if isinstance(step, int):
            text += f"[{step}]"
        else:
            bare = re.fullmatch(r"[A-Za-z0-9_-]{1,60}", step)
            text += ("." if text else "") + (step if bare else quoted(step))
    return text


def number(value: float) -> str:
    """Return a number with separators, without a needless fraction."""
    return printable(f"{value:,}" if isinstance(value, int) else f"{value:,.15g}")


def got(value: object) -> str:
    """Return a value of a document in words, its type told where it matters."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return printable(str(value))
    if isinstance(value, str):
        return f"the string {quoted(value)}"
    if isinstance(value, (list, tuple)):
        return "a list" if value else "an empty list"
    if isinstance(value, (dict, Table)):
        return "a table"
    if value is None:
        return "null"
    return f"the date or time {printable(str(value))}"  # the only other values of TOML


def one_of(values: Iterable[object]) -> str:
    """Return choices in words: `"a"`, `"a" or "b"`, `one of "a", "b" or "c"`."""
    *most, last = [quoted(v) if isinstance(v, str) else str(v) for v in values]
    several = "one of " if len(most) > 1 else ""
    return f"{several}{', '.join(most)} or {last}" if most else last


@cache
def expected(annotation: Any) -> str:
    """Return in words what the tables want for a value."""
    own = kind(annotation)
    for mark in own.metadata:
        if isinstance(mark, Expected):
            return mark.words
        if isinstance(mark, OneOrMany):
            return f"{expected(own.items)}, or a list of them"
    if literals(annotation):
        return one_of(literals(annotation))
    if own.members:
        return _either(own)
    if own.table:
        return CATALOGUED.get(own.table, "a table")
    return _plain(own)


def nearest(wrong: object, known: Iterable[object]) -> str:
    """Return `; did you mean …?`, or nothing where no known name is near."""
    if not isinstance(wrong, str):
        return ""
    names = {str(k).lower(): k for k in known}
    near = difflib.get_close_matches(wrong[:SHORT].lower(), names, n=1)
    return f"; did you mean {quoted(str(names[near[0]]))}?" if near else ""


def _either(union: Kind) -> str:
    """Return what the members of a union want."""
    key = union.discriminator
    if key:
        tags = [v for m in union.members if (t := kind(m).table) for v in choices(t, key)]
        return f"a table with `{key}` = {one_of(tags)}"
    return " or ".join(dict.fromkeys(expected(m) for m in union.members))


def _plain(own: Kind) -> str:
    origin = get_origin(own.type)
    if origin is tuple:
        item = kind(own.items)
        return f"a list of {'tables' if item.table else _PLURAL.get(item.type, 'values')}"
    if origin is dict:
        return "a table"
    words = {int: "a whole number", float: "a number", bool: "true or false", str: "a string"}
    return words.get(own.type, "another value") + _bounds(own)


def _bounds(own: Kind) -> str:
    """Return the range of a number: ` above 0`, ` from 1 to 100`, ` of 1 or more`."""
    marks = [part for mark in own.metadata for part in getattr(mark, "metadata", ())]
    limits = {side: getattr(m, side) for side in _SIDES for m in marks if hasattr(m, side)}
    low, high = limits.get("ge"), limits.get("le", UNBOUNDED)
    if low is not None and high < UNBOUNDED:
        return f" from {number(low)} to {number(high)}"
    words = [f" above {number(limits['gt'])}" if "gt" in limits else ""]
    words += [f" of {number(low)} or more" if low is not None else ""]
    words += [f", below {number(limits['lt'])}" if "lt" in limits else ""]
    words += [f", {number(high)} at most" if high < UNBOUNDED else ""]
    return "".join(words)


_PLURAL = {int: "whole numbers", float: "numbers", str: "strings"}
_SIDES = ("gt", "ge", "lt", "le")
