"""Compile functions with numba: an entry that Python calls, and the helpers that it calls.

All of them run without the GIL and without reference counts (`_nrt`): they make no arrays, and
counting references to those of the state on every call would make the loop eight times slower.
Integer division is C's (`error_model`): no divisor is ever zero.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

import numba

from apex_opt.sim.whole import EntryCompiler, HelperCompiler

Function = TypeVar("Function", bound=Callable[..., Any])

OPTIONS: dict[str, Any] = {
    "nogil": True,
    "error_model": "numpy",
    "_nrt": False,
    "no_cfunc_wrapper": True,
}
ENTRY: dict[str, Any] = {"pipeline_class": EntryCompiler, **OPTIONS}
WITHIN: dict[str, Any] = {
    "pipeline_class": HelperCompiler,
    "no_cpython_wrapper": True,
    **OPTIONS,
}

IMPORT = re.compile(r"^from apex_opt\.sim\.(\w+) import", re.MULTILINE)


def njit(function: Function) -> Function:
    """Compile a function on its first call and keep the machine code on disk.

    Where numba finds no directory to write to (a read-only install, and no home), it raises when
    the function is decorated: then each process compiles for itself. Numba itself would run the
    code that it kept until the file of the function changes; here it does until any does that
    the code was made of.
    """
    try:
        compiled = numba.njit(cache=True, **ENTRY)(function)
    except RuntimeError:
        return cast("Function", numba.njit(**ENTRY)(function))
    stamp = digest(Path(function.__code__.co_filename))
    compiled._cache._cache_file._source_stamp = stamp  # noqa: SLF001  there is no other way
    return cast("Function", compiled)


def digest(file: Path) -> str:
    """Return a digest of a module and all of this package that it imports, and they import."""
    modules, found = {file}, [file]
    while found:
        for name in IMPORT.findall(found.pop().read_text(encoding="utf-8")):
            module = Path(__file__).with_name(f"{name}.py")
            if module not in modules:
                modules.add(module)
                found.append(module)
    return hashlib.sha256(b"".join(one.read_bytes() for one in sorted(modules))).hexdigest()


def njit_helper(function: Function) -> Function:
    """Compile a helper: its code is placed at every call, and Python never calls it."""
    return cast("Function", numba.njit(forceinline=True, **WITHIN)(function))


def njit_rare(function: Function) -> Function:
    """Compile a helper that is called: for what is long and rare.

    That its code is not placed is said aloud, else it would take that over from its callers.
    """
    return cast("Function", numba.njit(forceinline=False, **WITHIN)(function))
