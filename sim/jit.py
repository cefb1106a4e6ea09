"""Compile functions with numba: an entry that Python calls, and the helpers that it calls.

All of them run without the GIL and without reference counts (`_nrt`): they make no arrays, and
counting references to those of the state on every call would make the loop eight times slower.
Integer division is C's (`error_model`): no divisor is ever zero.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

Function = TypeVar("Function", bound=Callable[..., Any])

OPTIONS: dict[str, Any] = {"nogil": True, "error_model": "numpy", "_nrt": False}


def njit(function: Function) -> Function:
    """Compile a function on its first call and keep the machine code on disk.

    Where numba finds no directory to write to (a read-only install, and no home), it raises when
    the function is decorated: then each process compiles for itself.
    """
    try:
        compiled = numba.njit(cache=True, **OPTIONS)(function)
    except RuntimeError:
        compiled = numba.njit(**OPTIONS)(function)
    return cast("Function", compiled)


def njit_helper(function: Function) -> Function:
    """Compile a helper: its code is placed at every call, and Python never calls it."""
    options: dict[str, Any] = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True, **OPTIONS}
    return cast("Function", numba.njit(forceinline=True, **options)(function))
