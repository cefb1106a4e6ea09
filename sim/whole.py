"""Machine code of an entry as a whole: its helpers are optimised and emitted with it, not before.

Numba optimises every function together with all that it calls, and makes machine code of that. In
a deep tree of helpers the same code goes through LLVM once a level. Here a helper stays the code
that it was lowered to until an entry links it, with the helpers below. They are internal to the
entry then: LLVM drops arguments that a helper does not read (an array is seven words, the state has
fifteen of them), and has a helper with one caller stand there. Compiling takes a fifth of the time,
and replicas that are played together run twice as fast.

Built on `pipeline_class`, which numba documents (Developer manual, Customizing the compiler), and
on the code library of its CPU target, which it does not.
"""

from __future__ import annotations

from typing import Any

from llvmlite.binding import Linkage
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import Compiler


class HelperLibrary(JITCodeLibrary):
    """Code of a helper, as it was lowered: nothing of it can be run."""

    def finalize(self) -> None:
        """Leave the code as it is, and what it calls to the entry."""
        self._finalized = True

    def get_pointer_to_function(self, name: str) -> int:
        """Return that there is no machine code."""
        del name
        return 0

    @property
    def codegen(self) -> HelperLibrary:
        """Where numba would set the environment of the machine code."""
        return self

    def set_env(self, name: str, environment: Any) -> None:
        """Set no environment: only Python objects need one, and helpers have none."""


class EntryLibrary(JITCodeLibrary):
    """Code of an entry, of all helpers that it calls, and of those that they call."""

    def add_linking_library(self, library: Any) -> None:
        """Link a helper, and what it calls."""
        if library not in self._linking_libraries:
            super().add_linking_library(library)
            for other in library._linking_libraries:  # noqa: SLF001  numba has no other way
                self.add_linking_library(other)

    def _optimize_final_module(self) -> None:
        for function in self._final_module.functions:
            if not function.is_declaration and function.linkage is Linkage.linkonce_odr:
                function.linkage = "internal"
        super()._optimize_final_module()


class HelperCompiler(Compiler):
    """Compile a helper as far as LLVM's code."""

    def __init__(self, typingctx: Any, targetctx: Any, library: Any, *rest: Any) -> None:
        library = HelperLibrary(targetctx.codegen(), "helper")
        super().__init__(typingctx, targetctx, library, *rest)


class EntryCompiler(Compiler):
    """Compile an entry to machine code."""

    def __init__(self, typingctx: Any, targetctx: Any, library: Any, *rest: Any) -> None:
        library = EntryLibrary(targetctx.codegen(), "entry")
        library.enable_object_caching()
        super().__init__(typingctx, targetctx, library, *rest)
