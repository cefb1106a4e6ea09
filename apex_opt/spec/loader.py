"""Reading a spec: text, syntax, references, tables, rules; every fault of it at once."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, NoReturn

import tomli
from pydantic import ValidationError

from apex_opt.errors import NotBuiltError, SpecError
from apex_opt.spec import checks, unbuilt
from apex_opt.spec.faults import Fault, from_validator, render, shown_file
from apex_opt.spec.files import UnreadableError, read_text
from apex_opt.spec.lines import Lines, Loc, scan
from apex_opt.spec.partial import partial
from apex_opt.spec.pools import Device
from apex_opt.spec.references import Resolved, resolve
from apex_opt.spec.spec import Spec
from apex_opt.spec.table import frozen
from apex_opt.spec.words import key_text, printable

MAX_BYTES = 4 << 20

_SYNTAX = (
    ("Cannot overwrite a value", "this key or table is already there"),
    ("Cannot declare", "this table is already there; join the two"),
    ("Cannot mutate immutable", "an inline table or list cannot be extended from outside"),
    ("Cannot redefine namespace", "a dotted key cannot extend a table that has its own header"),
    ("Duplicate inline table key", "this inline table has a key twice"),
    ("Illegal character '\\n'", "a string must end on its line"),
    ("Found invalid character '\\n'", "a string must end on its line"),
    ("Invalid value", 'not a value of TOML; strings stand in quotes: key = "value"'),
)


def load(path: str | Path) -> Spec:
    """Read and check the spec in the file `path`.

    Raises:
        SpecError: every fault of the file at once, one `file:line: key: why, what to write` each.
    """
    spec, lines = load_with_lines(path)
    return spec.placed(Path(path).resolve().parent, lines)


def load_with_lines(path: str | Path) -> tuple[Spec, Lines]:
    """Return the spec in the file `path`, and on which line each of its keys stands.

    Raises:
        SpecError: every fault of the file at once, one `file:line: key: why` a line.
    """
    path = Path(path)
    return _loads(_text(path), path.parent, str(path))


def load_device(path: Path) -> Device:
    """Return the device of a data sheet, TOML, as `specs/devices` holds them.

    Raises:
        SpecError: every fault of the file at once, one `file:line: key: why` a line.
    """
    data, lines = _parsed(_text(path), str(path))
    try:
        return Device.model_validate(data)
    except ValidationError as e:
        raise SpecError(render(from_validator(e, data, Device), lines)) from None


def loads(text: str, folder: str | Path = ".", name: str = "spec.toml") -> Spec:
    """Return the spec that `text` says, TOML.

    Args:
        text: the spec.
        folder: where the relative paths in it begin.
        name: what messages call it.

    Raises:
        SpecError: every fault at once, one `name:line: key: why` a line.
    """
    return _loads(text, Path(folder), name)[0]


def loads_json(text: str) -> Spec:
    """Return the spec that `Spec.model_dump_json` wrote; it refers to nothing outside.

    Raises:
        SpecError: every fault at once, one `key: why` a line.
    """
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as e:
        raise SpecError(f"not a spec: {e}") from None
    try:
        spec = Spec.model_validate_json(text)
    except ValidationError as e:
        raise SpecError(render(from_validator(e, data), None)) from None
    faults = checks.check(spec)
    if faults:
        raise SpecError(render(faults, None))
    return spec


def require_built(spec: Spec, lines: Lines | None = None) -> None:
    """Refuse a spec that asks for what is not modelled yet, rather than to answer without it.

    Args:
        spec: a spec, as loaded.
        lines: its lines, as `load_with_lines` returns them; without them faults name keys alone.

    Raises:
        NotBuiltError: everything that is not modelled yet, one `file:line: key: why` a line.
    """
    faults = unbuilt.check(spec)
    if faults:
        raise NotBuiltError(render(faults, lines))


def _text(path: Path) -> str:
    """Return what a file says, or raise why it cannot be read."""
    try:
        return read_text(path, MAX_BYTES)
    except UnreadableError as e:
        line = f":{e.line}" if e.line else ""
        raise SpecError(f"{shown_file(str(path))}{line}: {e}") from None


def _loads(text: str, folder: Path, name: str) -> tuple[Spec, Lines]:
    data, lines = _parsed(text, name)
    return _checked(resolve(data, folder), lines), lines


def _parsed(text: str, name: str) -> tuple[dict[str, Any], Lines]:
    """Return the tables of a text and its lines, or raise its fault of syntax."""
    lines = scan(text, name)
    if lines.excess:
        raise SpecError(f"{shown_file(name)}:{lines.excess.line}: {lines.excess.why}")
    try:
        data = tomli.loads(text)
    except tomli.TOMLDecodeError as e:
        raise SpecError(f"{shown_file(name)}:{_syntax_fault(str(e), text)}") from None
    tables: dict[str, Any] = frozen(data)
    return tables, lines


def _syntax_fault(message: str, text: str) -> str:
    """Return `line: why` for a message of the parser."""
    found = re.search(r" \((?:at line (\d+), column \d+|at end of document)\)$", message)
    line = found[1] if found and found[1] else str(text.rstrip().count("\n") + 1)
    why = message[: found.start()] if found else message
    ours = next((ours for theirs, ours in _SYNTAX if why.startswith(theirs)), None)
    return f"{line}: {ours or why[:1].lower() + why[1:]}"


def _checked(resolved: Resolved, lines: Lines) -> Spec:
    """Return the spec, or raise all faults of references, tables and rules."""
    faults = list(resolved.faults)
    lost: list[Loc] = []
    try:
        spec = Spec.model_validate(resolved.data)
    except ValidationError as e:
        wrong = from_validator(e, resolved.data)
        faults += wrong
        spec, lost = partial(resolved.data, [fault.loc for fault in wrong])
    faults += checks.check(spec, [*lost, *(fault.loc for fault in faults)])
    if faults:
        _refuse(faults, resolved, lines)
    return spec


def _refuse(faults: list[Fault], resolved: Resolved, lines: Lines) -> NoReturn:
    """Raise the faults, each where the user can mend it."""
    raise SpecError(render([_at_source(fault, resolved, lines) for fault in faults], lines))


def _at_source(fault: Fault, resolved: Resolved, lines: Lines) -> Fault:
    """Return a fault of a model's config.json where the spec refers to it."""
    config: Loc = ("model", "config")
    written = fault.loc in lines or fault.loc == config
    if resolved.config is None or written or fault.loc[:1] != config[:1]:
        return fault
    return Fault(config, f"{printable(resolved.config)}: `{key_text(fault.loc[1:])}` {fault.why}")
