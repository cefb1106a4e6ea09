"""Lines of a file that a stranger wrote: regular files only, unpacked if need be, all bounded."""

from __future__ import annotations

import codecs
import gzip
import io
import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from apex_opt.errors import TraceError
from apex_opt.spec.faults import shown_file
from apex_opt.spec.files import UnreadableError, open_regular, reason

MOST_BYTES = 2 << 30
"""Of a file, packed and unpacked."""

MOST_LINE_BYTES = 1 << 20

_GZIP = b"\x1f\x8b"


def lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Yield the lines of `path` that are not blank, with their numbers from 1.

    Gzip is known by its first two bytes. A byte-order mark and the ends of lines are cut off.

    Raises:
        TraceError: no regular file, larger than 2 GiB before or after unpacking, a line above
            1 MiB, or packed data that are cut off.
    """
    file = shown_file(str(path))
    number, size = 0, 0
    with opened(path) as stream, told(file):
        while line := stream.readline(MOST_LINE_BYTES + 1):
            number, size = number + 1, size + len(line)
            if len(line) > MOST_LINE_BYTES:
                raise TraceError(f"{file}:{number}: longer than 1 MiB, this is no line of a trace")
            if size > MOST_BYTES:
                raise TraceError(
                    f"{file}:{number}: unpacks to more than 2 GiB; cut the trace into parts"
                )
            if number == 1:
                line = line.removeprefix(codecs.BOM_UTF8)
            if stripped := line.strip():
                yield number, stripped


@contextmanager
def told(file: str) -> Iterator[None]:
    """Turn what can go wrong while a file is read into a TraceError."""
    try:
        yield
    except (EOFError, zlib.error, gzip.BadGzipFile):
        raise TraceError(f"{file}: the gzip data are damaged or cut off") from None
    except OSError as e:
        raise TraceError(f"{file}: {reason(e)}") from None


@contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """Open a regular file, unpacked where it is packed with gzip.

    Raises:
        TraceError: no regular file, or larger than 2 GiB.
    """
    file = shown_file(str(path))
    try:
        raw = open_regular(path)
    except UnreadableError as e:
        raise TraceError(f"{file}: {e}") from None
    with raw:
        if os.fstat(raw.fileno()).st_size > MOST_BYTES:
            raise TraceError(f"{file}: larger than 2 GiB; cut the trace into parts")
        if raw.peek(len(_GZIP))[: len(_GZIP)] != _GZIP:
            yield raw
        else:
            with gzip.GzipFile(fileobj=raw) as packed, io.BufferedReader(packed) as unpacked:
                yield unpacked
