"""Reading files that others wrote: regular files only, small texts bounded, never blocking."""

from __future__ import annotations

import io
import os
import stat
from pathlib import Path

_KINDS = {
    stat.S_IFDIR: "a folder, not a file",
    stat.S_IFIFO: "a pipe, not a regular file",
    stat.S_IFCHR: "a device, not a regular file",
    stat.S_IFBLK: "a device, not a regular file",
    stat.S_IFSOCK: "a socket, not a regular file",
}


class UnreadableError(ValueError):
    """A file that cannot be read as text; the text says why, and on which line where it has one."""

    def __init__(self, why: str, line: int | None = None) -> None:
        super().__init__(why)
        self.line = line


def read_text(path: Path, most: int) -> str:
    """Return the text of a regular file of `most` bytes at most, without a byte-order mark.

    Raises:
        UnreadableError: no such file, no regular file, too large, not UTF-8, or with a NUL.
    """
    data = _read(path, most)
    if len(data) > most:
        raise UnreadableError(f"larger than {most // 2**20} MiB, this cannot be the right file")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as e:
        line = data.count(b"\n", 0, e.start) + 1
        why = f"not UTF-8 (byte 0x{data[e.start]:02x}); save the file as UTF-8"
        raise UnreadableError(why, line) from None
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise UnreadableError("a NUL character; this is no text file", line)
    return text


def open_regular(path: Path) -> io.BufferedReader:
    """Open a regular file; the caller closes it.

    Raises:
        UnreadableError: no such file, no regular file, or it may not be read.
    """
    try:
        file = open(path, "rb", opener=_without_waiting)  # noqa: SIM115  # the caller closes it
    except IsADirectoryError:
        raise UnreadableError(_KINDS[stat.S_IFDIR]) from None
    except FileNotFoundError:
        raise UnreadableError("no such file") from None
    except OSError as e:
        raise UnreadableError(reason(e)) from None
    except ValueError:
        raise UnreadableError("no such file: its name has a NUL character") from None
    kind = stat.S_IFMT(os.fstat(file.fileno()).st_mode)
    if kind == stat.S_IFREG:
        return file
    file.close()
    raise UnreadableError(_KINDS.get(kind, "not a regular file"))


def reason(error: OSError) -> str:
    """Return why the system refuses a file, in words."""
    return (error.strerror or str(error)).lower()


def _read(path: Path, most: int) -> bytes:
    """Return the first `most` + 1 bytes."""
    with open_regular(path) as file:
        try:
            return file.read(most + 1)
        except OSError as e:
            raise UnreadableError(reason(e)) from None


def _without_waiting(path: str, flags: int) -> int:
    """Open a file; without O_NONBLOCK a pipe would be waited for."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))
