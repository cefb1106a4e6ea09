"""Compile functions with numba, and keep the machine code where there is a place for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

Function = TypeVar("Function", bound=Callable[..., Any])


def njit(function: Function) -> Function:
    """Compile a function on its first call; it may call compiled ones of its own file only.

    The code on disk is renewed when the function's file changes, not when another does. Where
    numba finds no directory to write to (a read-only install, and no home), it raises when the
    function is decorated: then each process compiles for itself.
    """
    try:
        return cast("Function", numba.njit(cache=True, nogil=True)(function))
    except RuntimeError:
        return cast("Function", numba.njit(nogil=True)(function))
