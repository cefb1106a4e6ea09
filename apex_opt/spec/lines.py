"""On which line of a TOML text a key or an element stands.

A parser keeps values and forgets lines; this reads a text once, in linear time, for its keys alone.
It never fails: where a text is no TOML, what it says of the lines after the fault means nothing.
Where a text is so large or so deep that reading it would be costly, it stops and says so.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

import tomli

Loc = tuple[str | int, ...]
"""A place in a document: keys, and indices from 0 in arrays."""

MAX_DEPTH = 64
MAX_KEYS = 10_000
MAX_VALUES = 250_000
MAX_BARE = 1_000

_BLANKS = re.compile(r"[ \t\r\n]*")
_COMMENT = re.compile(r"(?:#[^\n]*)?")
_SPACES = re.compile(r"[ \t]*")
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]*")
_BARE_VALUE = re.compile(r"[^,\]}#\n]*")
_CLOSING = re.compile(r"[ \t]*\]{0,2}")
_BASIC_STOP = re.compile(r'["\\\n]')
_LITERAL_STOP = re.compile(r"['\n]")


@dataclass(frozen=True)
class Excess:
    """Why a text is not read to its end."""

    line: int
    why: str


@dataclass(frozen=True)
class Lines:
    """The lines of a document's keys and elements, counted from 1."""

    file: str = "spec"
    table: dict[Loc, int] = field(default_factory=dict)
    excess: Excess | None = None

    def __contains__(self, loc: Loc) -> bool:
        """Whether `loc` itself is written in the text."""
        return loc in self.table

    def line(self, loc: Loc) -> int:
        """Return the line of `loc`, else of the nearest thing around it that is written."""
        for end in range(len(loc), 0, -1):
            if loc[:end] in self.table:
                return self.table[loc[:end]]
        return 1


def scan(text: str, file: str = "spec") -> Lines:
    """Return the lines of the keys and elements of `text`; never raises."""
    scanner = _Scanner(text)
    try:
        scanner.document()
    except _StoppedError as stop:
        return Lines(file, scanner.table, stop.excess)
    return Lines(file, scanner.table)


class _StoppedError(Exception):
    def __init__(self, excess: Excess) -> None:
        self.excess = excess


class _Scanner:
    """A cursor over the text, and what it has seen."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.pos = 0
        self.table: dict[Loc, int] = {}
        self.keys = 0
        self._arrays: dict[Loc, int] = {}  # tables of each array of tables so far
        self._counted = (0, 1)  # a position, and its line

    def document(self) -> None:
        """Read headers and pairs to the end of the text."""
        prefix: Loc = ()
        while True:
            self._blanks()
            start = self.pos
            if self._next() == "":
                return
            if self._next() == "[":
                prefix = self._header()
            else:
                self._pair(prefix)
            if self.pos == start:  # no TOML: on to the next line
                end = self.text.find("\n", start)
                self.pos = len(self.text) if end < 0 else end

    def _header(self) -> Loc:
        """Read `[a.b]` or `[[a.b]]`; return where the pairs below it belong."""
        start = self.pos
        double = self.text.startswith("[[", start)
        self.pos += 2 if double else 1
        path: Loc = ()
        parts = self._key()
        for nth, part in enumerate(parts, 1):
            path = (*path, part)
            if double and nth == len(parts):
                self._arrays[path] = self._arrays.get(path, 0) + 1
                self._see(path, start, implied=True)
            if path in self._arrays:
                path = (*path, self._arrays[path] - 1)
            self._see(path, start, implied=nth < len(parts))
        self._skip(_CLOSING)
        return path

    def _pair(self, prefix: Loc) -> None:
        """Read `a.b = value` under `prefix`."""
        start = self.pos
        path = prefix
        parts = self._key()
        for nth, part in enumerate(parts, 1):
            path = (*path, part)
            self._see(path, start, implied=nth < len(parts))
        self._skip(_SPACES)
        if parts and self._next() == "=":
            self.pos += 1
            self._skip(_SPACES)
            self._value(path)

    def _key(self) -> list[str]:
        """Read a key, bare, quoted or dotted; return its parts."""
        parts = []
        while True:
            self._skip(_SPACES)
            start = self.pos
            if self._next() in {'"', "'"}:
                self._string()
                parts.append(_unquoted(self.text[start : self.pos]))
            else:
                self._skip(_BARE_KEY)
                if self.pos == start:
                    return parts
                parts.append(self.text[start : self.pos])
            self.keys += 1
            if self.keys > MAX_KEYS:
                self._stop(f"more than {MAX_KEYS:,} keys; a spec has a few dozen")
            if len(parts) > MAX_DEPTH:
                self._stop(_DEEP)
            self._skip(_SPACES)
            if self._next() != ".":
                return parts
            self.pos += 1

    def _value(self, path: Loc) -> None:
        if len(path) > MAX_DEPTH:
            self._stop(_DEEP)
        first = self._next()
        if first in {'"', "'"}:
            self._string()
        elif first == "[":
            self._array(path)
        elif first == "{":
            self._inline_table(path)
        else:
            start = self.pos
            self._skip(_BARE_VALUE)
            if self.pos - start > MAX_BARE:
                self._stop(f"a value of more than {MAX_BARE:,} characters without quotes")

    def _array(self, path: Loc) -> None:
        self.pos += 1
        index = 0
        while True:
            self._blanks()
            start = self.pos
            first = self._next()
            if first == "":
                return
            if first in {"]", ","}:
                self.pos += 1
                index += 1
            else:
                self._see((*path, index), start)
                self._value((*path, index))
            if first == "]":
                return
            self.pos = max(self.pos, start + 1)

    def _inline_table(self, path: Loc) -> None:
        self.pos += 1
        while True:
            self._blanks()
            start = self.pos
            first = self._next()
            if first == "":
                return
            if first in {"}", ","}:
                self.pos += 1
            else:
                self._pair(path)
            if first == "}":
                return
            self.pos = max(self.pos, start + 1)

    def _string(self) -> None:
        """Pass a string of any of the four kinds."""
        quote = self.text[self.pos]
        long = self.text.startswith(quote * 3, self.pos)
        delimiter = quote * 3 if long else quote
        stop = _BASIC_STOP if quote == '"' else _LITERAL_STOP
        self.pos += len(delimiter)
        while match := stop.search(self.text, self.pos):
            self.pos = match.start()
            if match[0] == "\\":
                self.pos += 2
            elif match[0] == "\n" and not long:
                return  # never closed
            elif self.text.startswith(delimiter, self.pos):
                self.pos += len(delimiter)
                if long:  # up to two quotes may stand before the closing three
                    rest = self.text[self.pos : self.pos + 2]
                    self.pos += len(rest) - len(rest.lstrip(quote))
                return
            else:
                self.pos += 1
        self.pos = len(self.text)

    def _see(self, path: Loc, start: int, *, implied: bool = False) -> None:
        """Note the line of `path`; what is implied by a longer key never moves a line."""
        if implied and path in self.table:
            return
        if len(self.table) >= MAX_VALUES:
            self._stop(f"more than {MAX_VALUES:,} values")
        self.table[path] = self._line(start)

    def _line(self, pos: int) -> int:
        """Return the line of a position, none before the last one that was asked for."""
        start, line = self._counted
        self._counted = (pos, line + self.text.count("\n", start, pos))
        return self._counted[1]

    def _next(self) -> str:
        return self.text[self.pos : self.pos + 1]

    def _blanks(self) -> None:
        """Pass spaces, newlines and comments."""
        start = -1
        while self.pos != start:
            start = self.pos
            self._skip(_BLANKS)
            self._skip(_COMMENT)

    def _skip(self, pattern: re.Pattern[str]) -> None:
        match = pattern.match(self.text, self.pos)
        self.pos = match.end() if match else self.pos

    def _stop(self, why: str) -> None:
        raise _StoppedError(Excess(self._line(self.pos), why))


_DEEP = f"nested more than {MAX_DEPTH} deep; a spec needs fewer than ten levels"


def _unquoted(token: str) -> str:
    """Return what a quoted key says: the parser itself reads its escapes."""
    try:
        return str(tomli.loads(f"key = {token}")["key"])
    except tomli.TOMLDecodeError:
        return token
