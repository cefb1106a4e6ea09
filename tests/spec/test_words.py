"""Values and types in words: short, printable, as they are written."""

from __future__ import annotations

from datetime import time
from typing import Annotated, Any, Literal, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field

from apex_opt.spec.pools import Precision
from apex_opt.spec.table import Choice, Count, Fraction, NonNegative, Positive
from apex_opt.spec.words import expected, got, key_text, nearest, number, one_of, printable

PRECISIONS = ", ".join(f'"{precision}"' for precision in get_args(Precision))


@given(st.text(max_size=200))
def test_whatever_is_shown_is_short_and_printable(text: str):
    assert printable(text).isprintable()
    assert len(printable(text)) <= 10 * 60


@pytest.mark.parametrize(
    ("loc", "text"),
    [
        (("pools", 0, "device"), "pools[0].device"),
        (("a b", "c.d", 'e"f'), '"a b"."c.d"."e\\"f"'),
        (("é", ""), '"é".""'),
        (("\x1b[2J", "x" * 61), '"\\u001b[2J"."' + "x" * 59 + '…"'),
    ],
)
def test_a_place_is_written_as_its_key_is(loc: tuple[int | str, ...], text: str):
    assert key_text(loc) == text


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (True, "true"),
        (-8, "-8"),
        (8.0, "8.0"),
        (float("nan"), "nan"),
        (10**100, "1" + "0" * 58 + "…"),
        ('a"b\n', 'the string "a\\"b\\u000a"'),
        ("x" * 60, 'the string "' + "x" * 60 + '"'),
        ("x" * 61, 'the string "' + "x" * 59 + '…"'),
        ((), "an empty list"),
        ([1], "a list"),
        ({}, "a table"),
        (None, "null"),
        (time(7, 32), "the date or time 07:32:00"),
    ],
)
def test_a_value_is_told_as_it_is_written(value: object, words: str):
    assert got(value) == words


@pytest.mark.parametrize(
    ("annotation", "words"),
    [
        (int, "a whole number"),
        (Count, "a whole number of 1 or more"),
        (Annotated[int, Field(ge=1, le=100)], "a whole number from 1 to 100"),
        (Annotated[int, Field(le=100)], "a whole number, 100 at most"),
        (Positive, "a number above 0"),
        (NonNegative, "a number of 0 or more"),
        (Fraction, "a number above 0, 1 at most"),
        (Annotated[float, Field(ge=0, lt=1)], "a number of 0 or more, below 1"),
        (Choice[Count], "a whole number of 1 or more, or a list of them"),
        (tuple[int, ...] | None, "a list of whole numbers"),
        (tuple[tuple[int, ...], ...], "a list of values"),
        (dict[str, int], "a table"),
        (time, "another value"),
        (Literal["auto"], '"auto"'),
        (Precision | Literal["activation"], f'one of {PRECISIONS} or "activation"'),
        (bool | str | None, "true or false or a string"),
    ],
)
def test_a_type_is_told_as_what_to_write(annotation: Any, words: str):
    assert expected(annotation) == words


@pytest.mark.parametrize(
    ("value", "text"),
    [(1234567, "1,234,567"), (0.5, "0.5"), (1e18, "1e+18"), (1155.0, "1,155"), (0.0, "0")],
)
def test_a_number_has_separators_and_no_needless_fraction(value: float, text: str):
    assert number(value) == text


def test_choices_are_listed():
    assert one_of(["a"]) == '"a"'
    assert one_of(["a", 2]) == '"a" or 2'
    assert one_of(["a", "b", "c"]) == 'one of "a", "b" or "c"'


def test_a_near_choice_is_named_whatever_its_case():
    assert nearest("POISON", ["poisson", "closed"]) == '; did you mean "poisson"?'
    assert nearest("zebra", ["poisson", "closed"]) == ""
    assert nearest(3, ["3"]) == ""
