from __future__ import annotations

from typing import Any

import numba
import numpy as np
import pytest

from apex_opt.sim.jit import ENTRY, njit_helper, njit_rare

Tree = tuple[Any, Any, Any]


def stir(one: Any, other: Any) -> float:
    """Return a number of one array; too long for LLVM to place it at several calls."""
    a, b, c, d = one[0], one[1], one[2], one[3]
    for _ in range(len(one)):
        a, b, c, d = a * b + c, b * c - d, c * d + a, d * a - b
        a, b, c, d = a / (1 + b * b), b / (1 + c * c), c / (1 + d * d), d / (1 + a * a)
        a, b, c, d = a - b * c, b + c * d, c - d * a, d + a * b
        a, b, c, d = a / (2 + d * d), b / (2 + a * a), c / (2 + b * b), d / (2 + c * c)
        a, b, c, d = a * c + d, b * d - a, c * a + b, d * b - c
        a, b, c, d = a / (3 + c * c), b / (3 + d * d), c / (3 + a * a), d / (3 + b * b)
        a, b, c, d = a + d * b, b - a * c, c + b * d, d - c * a
    return float(a + b + c + d)


@pytest.fixture(scope="module")
def tree() -> Tree:
    """An entry that calls a helper thrice, which calls a rare one, which reads one array of two."""
    rare = njit_rare(stir)

    @njit_helper
    def helper(one: Any, other: Any) -> float:
        return rare(one, other) + len(other)

    @numba.njit(**ENTRY)
    def entry(one: Any, other: Any) -> float:
        return helper(one, other) + 2 * helper(one[1:], other) + 3 * helper(one[2:], other)

    return entry, helper, rare


ONE, OTHER = np.arange(1.0, 7.0), np.zeros((5, 2))


def compiled(function: Any) -> Any:
    """Return the one compilation of a function."""
    (only,) = function.overloads.values()
    return only


def test_an_entry_does_what_its_helpers_do(tree: Tree) -> None:
    parts = [stir(ONE[k:], OTHER) + 5 for k in range(3)]
    assert tree[0](ONE, OTHER) == pytest.approx(parts[0] + 2 * parts[1] + 3 * parts[2], rel=1e-12)


def test_a_helper_has_no_machine_code_of_its_own(tree: Tree) -> None:
    tree[0](ONE, OTHER)
    for helper in tree[1:]:
        part = compiled(helper)
        assert part.library.get_pointer_to_function(part.fndesc.llvm_func_name) == 0
    whole = compiled(tree[0])
    assert whole.library.get_pointer_to_function(whole.fndesc.llvm_cpython_wrapper_name) > 0


def test_a_rare_helper_that_a_placed_one_calls_is_not_placed(tree: Tree) -> None:
    entry, helper, rare = tree
    entry(ONE, OTHER)
    assert [compiled(one).fndesc.inline for one in (helper, rare)] == [True, False]


def test_in_an_entry_a_rare_helper_takes_only_what_it_reads(tree: Tree) -> None:
    entry, _, rare = tree
    entry(ONE, OTHER)
    name = compiled(rare).fndesc.llvm_func_name
    alone = compiled(rare).library.get_function(name)
    # Where the result goes, where an error goes, and two arrays: 7 words, and 9 in two dimensions.
    assert len(list(alone.arguments)) == 2 + 7 + 9
    for function in compiled(entry).library.get_defined_functions():
        if function.name == name:  # unless LLVM has placed it, as older ones do
            assert len(list(function.arguments)) <= 4  # the result, data, length, stride
