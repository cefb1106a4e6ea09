"""Compile functions with numba: an entry that Python calls, and the helpers that it calls.

All of them run without the GIL and without reference counts (`_nrt`): they make no arrays, and
counting references to those of the state on every call would make the loop eight times slower.
Integer division is C's (`error_model`): no divisor is ever zero.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

import numba

Function = TypeVar("Function", bound=Callable[..., Any])

OPTIONS: dict[str, Any] = {"nogil": True, "error_model": "numpy", "_nrt": False}
WITHIN: dict[str, Any] = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True, **OPTIONS}


def stamp() -> str:
    """Return a digest of all modules of this package."""
    modules = sorted(Path(__file__).parent.glob("*.py"))
    return hashlib.sha256(b"".join(module.read_bytes() for module in modules)).hexdigest()


def njit(function: Function) -> Function:
    """Compile a function on its first call and keep the machine code on disk.

    Where numba finds no directory to write to (a read-only install, and no home), it raises when
    the function is decorated: then each process compiles for itself. Numba itself would run the
    code that it kept until the file of the function changes; here it does until any module does,
    since helpers from all of them stand in it.
    """
    try:
        compiled = numba.njit(cache=True, **OPTIONS)(function)
    except RuntimeError:
        return cast("Function", numba.njit(**OPTIONS)(function))
    compiled._cache._cache_file._source_stamp = stamp()  # noqa: SLF001  there is no other way
    return cast("Function", compiled)


def njit_helper(function: Function) -> Function:
    """Compile a helper: its code is placed at every call, and Python never calls it."""
    return cast("Function", numba.njit(forceinline=True, **WITHIN)(function))


def njit_rare(function: Function) -> Function:
    """Compile a helper that is called: for what is long and rare."""
    return cast("Function", numba.njit(**WITHIN)(function))
