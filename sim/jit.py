"""Compile a function with numba, with the options that every compiled function here shares."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

Function = TypeVar("Function", bound=Callable[..., Any])


def njit(function: Function) -> Function:
    """Compile `function` on its first call; keep the machine code on disk; release the GIL.

    Integer division is C's (`error_model`): no zero divisor ever reaches it. Where numba finds no
    directory to write to (a read-only install without a home), it raises when the function is
    decorated: then each process compiles for itself.
    """
    options: dict[str, Any] = {"nogil": True, "error_model": "numpy", "_nrt": False}
    try:
        compiled = numba.njit(cache=True, **options)(function)
    except RuntimeError:
        compiled = numba.njit(**options)(function)
    return cast("Function", compiled)


def inlined(function: Function) -> Function:
    """Compile a helper of a compiled function: LLVM places its code at every call."""
    options: dict[str, Any] = {
        "nogil": True,
        "error_model": "numpy",
        "_nrt": False,
        "forceinline": True,
    }
    return cast("Function", numba.njit(**options)(function))
