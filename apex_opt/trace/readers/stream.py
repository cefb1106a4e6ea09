"""JSON values of a file, one at a time: the elements of a list, or values one after the other.

For files that are no lines: a list of a gigabyte, or one object over many lines. At most one value
and one chunk are held.
"""

from __future__ import annotations

import codecs
import json
from collections.abc import Iterator
from pathlib import Path

from apex_opt.errors import TraceError
from apex_opt.spec.faults import shown_file
from apex_opt.trace.readers.lines import MOST_BYTES, opened, told

CHUNK = 1 << 20
MOST_CHARACTERS = 256 << 20
"""Of one value: a result with all its texts is long, but not this long."""

_DECODER = json.JSONDecoder()
_SPACE = " \t\r\n"
_CUT = 16
"""Characters before the end of a text in which a fault may only mean that the text goes on."""


def values(path: Path) -> Iterator[tuple[int, object]]:
    """Yield the JSON values of `path`, or of the list that it is, with the lines they begin on.

    Raises:
        TraceError: no JSON, cut off, or a value or the file is too large.
    """
    text = _Text(path)
    if text.peek() == "[":
        yield from _elements(text)
    while text.peek():
        yield text.line, text.value()


def _elements(text: _Text) -> Iterator[tuple[int, object]]:
    """Yield the elements of the list that begins here, and go to the end of the text."""
    text.skip()
    mark = text.peek()
    while mark != "]":
        text.peek()
        yield text.line, text.value()
        mark = text.peek()
        if mark not in {",", "]"}:
            raise text.fault("not JSON, or cut off")
        if mark == ",":
            text.skip()
    text.skip()
    if text.peek():
        raise text.fault("something follows the end of the list")


class _Text:
    """The text of a file, of which a part is held."""

    def __init__(self, path: Path) -> None:
        self.file = shown_file(str(path))
        self.chunks = _chunks(path, self.file)
        self.held = ""
        self.at = 0
        self.line = 1

    def peek(self) -> str:
        """Return the next character that is no space, and go there; nothing at the end."""
        while True:
            while self.at < len(self.held) and self.held[self.at] in _SPACE:
                self.line += self.held[self.at] == "\n"
                self.at += 1
            if self.at < len(self.held) or not self._more(CHUNK):
                return self.held[self.at : self.at + 1]

    def skip(self) -> None:
        """Go on by one character."""
        self.at += 1

    def value(self) -> object:
        """Return the value that begins here."""
        size = CHUNK
        while (found := self._decoded()) is None:
            if not self._more(size):
                raise self.fault("not JSON, or cut off")
            size *= 2  # so that a long value is parsed few times
        value, end = found
        self.line += self.held.count("\n", self.at, end)
        self.at = end
        return value

    def _decoded(self) -> tuple[object, int] | None:
        """Return the value that begins here and where it ends; None where the text may go on."""
        try:
            return _DECODER.raw_decode(self.held, self.at)
        except json.JSONDecodeError as why:
            if why.msg.startswith("Unterminated") or why.pos > len(self.held) - _CUT:
                return None
            raise self.fault("not JSON, or cut off") from None
        except RecursionError:
            raise self.fault("not JSON: nested too deep") from None
        except ValueError:
            raise self.fault("not JSON: a number of thousands of digits") from None

    def fault(self, why: str) -> TraceError:
        return TraceError(f"{self.file}:{self.line}: {why}")

    def _more(self, characters: int) -> bool:
        """Hold more of the text, without what was passed; return whether there is more."""
        parts = [self.held[self.at :]]
        self.held, self.at, wanted = "", 0, characters
        while wanted > 0 and (chunk := next(self.chunks, "")):
            parts.append(chunk)
            wanted -= len(chunk)
        self.held = "".join(parts)
        if len(self.held) > MOST_CHARACTERS:
            raise self.fault("a value of more than 256 MiB, this is no trace")
        return wanted < characters


def _chunks(path: Path, file: str) -> Iterator[str]:
    """Yield the text of a file."""
    decoder = codecs.getincrementaldecoder("utf-8-sig")()
    size = 0
    with opened(path) as stream:
        while True:
            with told(file):
                raw = stream.read(CHUNK)
            size += len(raw)
            if size > MOST_BYTES:
                raise TraceError(f"{file}: unpacks to more than 2 GiB; cut the trace into parts")
            try:
                chunk = decoder.decode(raw, final=not raw)
            except UnicodeDecodeError:
                raise TraceError(f"{file}: not UTF-8; save the file as UTF-8") from None
            if chunk:
                yield chunk
            if not raw:
                return
