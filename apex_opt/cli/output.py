"""Where results go: stdout, or a file that is written whole or not at all."""

from __future__ import annotations

import errno
import os
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

from apex_opt.errors import CallError


def write(text: str, target: str) -> None:
    """Write `text` to stdout (`-`) or to a file, whole or not at all.

    Raises:
        CallError: the file cannot be written.
    """
    text = text if text.endswith("\n") else text + "\n"
    if target == "-":
        sys.stdout.write(text)
        sys.stdout.flush()
    else:
        write_bytes([text.encode()], target)


def check(target: str) -> None:
    """Tell before a long search what would keep `write` from writing `target` after it.

    Raises:
        CallError: it is no name of a file, or its folder is not there or may not be written.
    """
    path = Path(target)
    if target == "-" or (path.exists() and not path.is_file() and not path.is_dir()):
        return
    parent = path.resolve().parent
    if path.is_dir():
        why = errno.EISDIR
    elif not parent.exists():
        why = errno.ENOENT
    elif not parent.is_dir():
        why = errno.ENOTDIR
    elif not os.access(parent, os.W_OK):
        why = errno.EACCES
    else:
        return
    raise CallError(f"{target or '.'}: cannot be written: {os.strerror(why)}")


def write_bytes(parts: Iterable[bytes], target: str) -> None:
    """Write `parts`, one after the other, to stdout (`-`) or to a file, whole or not at all.

    A device or a pipe cannot be replaced, and is written as it stands; a link stays a link.

    Raises:
        CallError: the file cannot be written.
    """
    if target == "-":
        sys.stdout.buffer.writelines(parts)
        sys.stdout.buffer.flush()
        return
    path = Path(target)
    try:
        if path.exists() and not path.is_file() and not path.is_dir():
            with path.open("wb") as file:
                file.writelines(parts)
        else:
            _replace(path.resolve(), parts)
    except OSError as why:
        raise CallError(f"{target}: cannot be written: {why.strerror}") from None


def _replace(path: Path, parts: Iterable[bytes]) -> None:
    """Put a new file in the place of `path`, once it is complete."""
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.writelines(parts)
        umask = os.umask(0)
        os.umask(umask)
        Path(name).chmod(0o666 & ~umask)
        Path(name).replace(path)
    finally:
        Path(name).unlink(missing_ok=True)  # still there only where something went wrong


def folder(target: str) -> Path:
    """Return `target` as a folder, made where it does not exist.

    Raises:
        CallError: it cannot be made.
    """
    if not target:
        raise CallError("--out: name a folder, such as `plan`")
    path = Path(target)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as why:
        raise CallError(f"{target}: cannot be made a folder: {why.strerror}") from None
    return path
