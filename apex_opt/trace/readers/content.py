"""What kind of file this is, told by how it begins, never by its name."""

from __future__ import annotations

import codecs
import json
from pathlib import Path
from typing import Literal

from apex_opt.trace.readers.lines import MOST_LINE_BYTES, opened, told
from apex_opt.trace.readers.parquet import MAGIC

Content = Literal["lines", "json", "parquet"]


def content(path: Path, file: str) -> Content:
    """Return how a file is to be read.

    Args:
        path: the file, plain or packed with gzip.
        file: its name for people.

    Returns:
        parquet: it begins as Parquet does; json: a list, or an object that is no line; else lines.

    Raises:
        TraceError: it cannot be read.
    """
    with opened(path) as stream, told(file):
        begin = stream.read(MOST_LINE_BYTES + 1)
    if begin.startswith(MAGIC):
        return "parquet"
    line = begin.removeprefix(codecs.BOM_UTF8).lstrip().partition(b"\n")[0]
    if line.startswith(b"[") or (line.startswith(b"{") and not _is_whole(line)):
        return "json"
    return "lines"


def _is_whole(line: bytes) -> bool:
    """Whether a line is a JSON value, all of it."""
    try:
        json.loads(line)
    except (ValueError, RecursionError):
        return False
    return True
