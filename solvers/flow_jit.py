"""Compile functions with numba, and keep the machine code where there is a place for it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

import numba

Function = TypeVar("Function", bound=Callable[..., Any])


def stamp() -> str:
    """Return a digest of all modules that have compiled functions of these."""
    modules = sorted(Path(__file__).parent.glob("flow*.py"))
    return hashlib.sha256(b"".join(module.read_bytes() for module in modules)).hexdigest()


def njit(function: Function) -> Function:
    """Compile a function on its first call and keep the machine code on disk.

    Where numba finds no directory to write to (a read-only install, and no home), it raises when
    the function is decorated: then each process compiles for itself. Numba itself would run the
    code that it kept until the file of the function changes; here it does until any module does,
    since functions of one call those of another.
    """
    try:
        compiled: Any = numba.njit(cache=True, nogil=True)(function)
    except RuntimeError:
        return cast("Function", numba.njit(nogil=True)(function))
    compiled._cache._cache_file._source_stamp = stamp()  # noqa: SLF001  there is no other way
    return cast("Function", compiled)
