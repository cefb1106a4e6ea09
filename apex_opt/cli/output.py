"""Where results go: stdout, or a file that is written whole or not at all."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

from apex_opt.errors import CallError


def write(text: str, target: str) -> None:
    """Write `text` to stdout (`-`) or to a file, whole or not at all.

    Raises:
        CallError: the file cannot be written.
    """
    if target == "-":
        sys.stdout.write(text if text.endswith("\n") else text + "\n")
        sys.stdout.flush()
        return
    path = Path(target)
    try:
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    except OSError as why:
        raise CallError(f"{target}: cannot be written: {why.strerror}") from None
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text if text.endswith("\n") else text + "\n")
        umask = os.umask(0)
        os.umask(umask)
        Path(name).chmod(0o666 & ~umask)
        Path(name).replace(path)
    except OSError as why:
        Path(name).unlink(missing_ok=True)
        raise CallError(f"{target}: cannot be written: {why.strerror}") from None


def folder(target: str) -> Path:
    """Return `target` as a folder, made where it does not exist.

    Raises:
        CallError: it cannot be made.
    """
    path = Path(target)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as why:
        raise CallError(f"{target}: cannot be made a folder: {why.strerror}") from None
    return path
