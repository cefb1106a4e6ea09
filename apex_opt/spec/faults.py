"""Faults of a spec, in sentences that say where, why, and what to write instead."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from apex_opt.spec.lines import Lines, Loc
from apex_opt.spec.spec import Spec
from apex_opt.spec.table import Table
from apex_opt.spec.tree import Place, choices, hints, keys, kind, literals, place
from apex_opt.spec.words import (
    SHORT,
    expected,
    got,
    key_text,
    name,
    nearest,
    number,
    one_of,
    printable,
    quoted,
)

MOST_SHOWN = 1_000


@dataclass(frozen=True)
class Fault:
    """One fault: where it stands, why it is one and what to write."""

    loc: Loc
    why: str


def render(faults: Iterable[Fault], lines: Lines | None) -> str:
    """Return one `file:line: key: why` a fault, sorted by line; without lines, `key: why`."""
    unlike = {(lines.line(f.loc) if lines else 0, f.loc, f.why) for f in faults}
    rows = sorted(
        unlike, key=lambda row: (row[0], [(isinstance(s, str), s) for s in row[1]], row[2])
    )
    file = shown_file(lines.file) if lines else ""
    texts = [
        ": ".join(part for part in (f"{file}:{line}" if lines else "", key_text(loc), why) if part)
        for line, loc, why in rows[:MOST_SHOWN]
    ]
    if len(rows) > MOST_SHOWN:
        texts.append(f"and {len(rows) - MOST_SHOWN:,} more faults")
    return "\n".join(texts)


def shown_file(file: str) -> str:
    """Return a file's name as messages show it: whole, unless it would upset the terminal."""
    return file if file.isprintable() else printable(file)


def from_validator(error: ValidationError, data: Any, root: type[Table] = Spec) -> list[Fault]:
    """Return the faults that a validator found.

    Args:
        error: what pydantic raised.
        data: what was validated; it tells which steps of an error's place are written at all.
        root: the table that was validated.
    """
    return [_fault(e, data, root) for e in error.errors(include_url=False) if not _follows(e)]


def _follows(error: ErrorDetails) -> bool:
    """Whether an error only repeats others: a list of faulty elements counts as an empty one."""
    return error["type"] == "too_short" and len(error["input"]) >= error["ctx"]["min_length"]


def _fault(error: ErrorDetails, data: Any, root: type[Table]) -> Fault:
    where = place(error["loc"], data, root)
    if where.is_key:
        return _bad_key(where)
    say = _SENTENCES.get(error["type"], _wrong_type)
    return say(error, where)


def _wrong_type(error: ErrorDetails, where: Place) -> Fault:
    return Fault(where.loc, f"must be {_wanted(error, where)}, got {got(error['input'])}")


def _wanted(error: ErrorDetails, where: Place) -> str:
    """Return what to write for a value of the wrong type."""
    value, wanted = error["input"], expected(where.annotation)
    if isinstance(value, dict) and wanted == "a list of tables":
        return f"{wanted} (write `[[{key_text(where.loc)}]]`, with two brackets)"
    if where.table is Spec and where.loc:
        return f"{wanted}, `{_header(str(where.loc[0]))}`"
    if error["type"] == "string_type" and type(value) in {int, float}:
        return f"a string such as {quoted(str(value))}"
    if isinstance(value, str) and error["type"] in {"float_type", "int_type"}:
        meant = _number_in(value, whole=error["type"] == "int_type")
        if meant:
            return f"{'a whole number' if meant.isdigit() else 'a number'} such as {meant}"
    return wanted


def _number_in(text: str, *, whole: bool) -> str | None:
    """Return the number that a string spells, as it should be written; None where it is none."""
    pattern = r"[+-]?\d{1,15}" if whole else r"[+-]?\d{1,15}(\.\d{1,15})?"
    plain = text.strip()
    if not re.fullmatch(pattern, plain, re.ASCII):
        return None
    return str(int(plain) if whole else float(plain))


def _float_type(error: ErrorDetails, where: Place) -> Fault:
    value = error["input"]
    if isinstance(value, int) and not isinstance(value, bool):
        return Fault(where.loc, f"is too large a number: {got(value)}")
    return _wrong_type(error, where)


def _missing(_: ErrorDetails, where: Place) -> Fault:
    key = str(where.loc[-1])
    wanted = f"a table `{_header(key)}`" if where.table is Spec else expected(where.annotation)
    return Fault(where.loc, f"missing; write {wanted}{_about(where.table, key)}")


def _about(table: type[Table], key: str) -> str:
    """Return the first sentence of a key's description, in brackets."""
    text = (table.model_fields[key].description or "").split(". ")[0].rstrip(".")
    if not text:
        return ""
    return f" ({text if text[:2].isupper() else text[0].lower() + text[1:]})"


def _unknown(_: ErrorDetails, where: Place) -> Fault:
    return Fault(where.loc, f"unknown key; {_where_instead(str(where.loc[-1]), where.table)}")


def _bad_key(where: Place) -> Fault:
    """Return the fault of a key that its table's keys do not allow: not a choice, empty, long."""
    known = [str(value) for value in literals(where.annotation)]
    if known:
        return Fault(where.loc, f"unknown key; {_among(str(where.loc[-1]), known)}")
    return Fault(where.loc, "a key must have from 1 to 200 printable characters")


def _where_instead(key: str, table: type[Table]) -> str:
    """Return where an unknown key belongs, or which known one is near, or which ones there are."""
    own = keys(table)
    homes = _homes().get(key, ())
    if 0 < len(homes) <= 2:
        return f"{name(key)} belongs in {' or '.join(homes)}"
    if key in hints(Spec) and table is not Spec:
        return f"`{_header(key)}` is a table of its own"
    return _among(key, own)


def _among(key: str, known: list[str]) -> str:
    """Return which of the known keys is near, else all of them."""
    near = difflib.get_close_matches(key[:SHORT].lower(), known, n=1)
    if near:
        return f"did you mean {name(near[0])}?"
    return f"the keys here are {', '.join(f'`{k}`' for k in known)}"


@cache
def _homes() -> dict[str, tuple[str, ...]]:
    """Return, by key, the headers of the tables of a spec that have it."""
    homes: dict[str, tuple[str, ...]] = {}
    for top, annotation in hints(Spec).items():
        own = kind(annotation)
        table = own.table or kind(own.items).table
        for key in keys(table) if table else ():
            homes[key] = (*homes.get(key, ()), _header(top))
    return homes


def _header(top: str) -> str:
    return f"[{top}]" if kind(hints(Spec)[top]).table else f"[[{top}]]"


def _bound(words: str, limit: str) -> Callable[[ErrorDetails, Place], Fault]:
    def say(error: ErrorDetails, where: Place) -> Fault:
        bound = number(error["ctx"][limit])
        return Fault(where.loc, f"must be {words.format(bound)}, got {got(error['input'])}")

    return say


def _not_finite(error: ErrorDetails, where: Place) -> Fault:
    return Fault(where.loc, f"must be a finite number, got {got(error['input'])}")


def _too_short(_: ErrorDetails, where: Place) -> Fault:
    return Fault(where.loc, f"must not be empty; write {expected(where.annotation)}")


def _too_long(error: ErrorDetails, where: Place) -> Fault:
    size, noun = len(error["input"]), "characters" if isinstance(error["input"], str) else "values"
    most = error["ctx"]["max_length"]
    return Fault(where.loc, f"must have {most:,} {noun} at most, got {size:,}")


def _literal(error: ErrorDetails, where: Place) -> Fault:
    value, wanted = error["input"], expected(where.annotation)
    near = nearest(value, literals(where.annotation))
    return Fault(where.loc, f"must be {wanted}, got {got(value)}{near}")


def _tag_missing(_: ErrorDetails, where: Place) -> Fault:
    union = kind(where.annotation)
    return Fault((*where.loc, str(union.discriminator)), f"missing; write {one_of(_tags(where))}")


def _tag_invalid(error: ErrorDetails, where: Place) -> Fault:
    key = str(kind(where.annotation).discriminator)
    value = error["input"][key]
    why = f"must be {one_of(_tags(where))}, got {got(value)}{nearest(value, _tags(where))}"
    return Fault((*where.loc, key), why)


def _tags(where: Place) -> list[object]:
    """Return the values of the key that tells the members of a union apart."""
    union = kind(where.annotation)
    tables = [kind(member).table for member in union.members]
    return [v for t in tables if t for v in choices(t, str(union.discriminator))]


def _said(error: ErrorDetails, where: Place) -> Fault:
    return Fault(where.loc, str(error["ctx"]["error"]))


_SENTENCES: dict[str, Callable[[ErrorDetails, Place], Fault]] = {
    "missing": _missing,
    "extra_forbidden": _unknown,
    "float_type": _float_type,
    "finite_number": _not_finite,
    "greater_than": _bound("above {}", "gt"),
    "greater_than_equal": _bound("{} or more", "ge"),
    "less_than": _bound("below {}", "lt"),
    "less_than_equal": _bound("{} or less", "le"),
    "too_short": _too_short,
    "too_long": _too_long,
    "string_too_short": _too_short,
    "string_too_long": _too_long,
    "literal_error": _literal,
    "union_tag_not_found": _tag_missing,
    "union_tag_invalid": _tag_invalid,
    "value_error": _said,
}
