"""Lines of keys: by example, against what an emitter wrote, and against the parser."""

from __future__ import annotations

from typing import Any

import pytest
import tomli
from hypothesis import example, given, settings
from hypothesis import strategies as st

from apex_opt.spec.lines import MAX_DEPTH, MAX_KEYS, Excess, Loc, scan
from tests.spec.emitter import Emitter, documents

DOCUMENT = (
    r'''# a comment = 1
a = 1
"b\u0062" . 'c.d' = [1,
  2, { x = 3, y = { z = """
"""} }, # ] }
]
[t . u]  # [no]
k = """ x
[no]
z = 1
\""" "" """""
l = '''
    """'''
m = 1'''
[[p]]
n = 1979-05-27 07:32:00
[p.q]
m = 'a # b'
[[p]]
n = "a\\"# b"
[[p.r]]
s = { }
v = [
]
"""
)


def test_every_form_of_key_has_its_line():
    assert scan(DOCUMENT).table == {
        ("a",): 2,
        ("bb",): 3,
        ("bb", "c.d"): 3,
        ("bb", "c.d", 0): 3,
        ("bb", "c.d", 1): 4,
        ("bb", "c.d", 2): 4,
        ("bb", "c.d", 2, "x"): 4,
        ("bb", "c.d", 2, "y"): 4,
        ("bb", "c.d", 2, "y", "z"): 4,
        ("t",): 7,
        ("t", "u"): 7,
        ("t", "u", "k"): 8,
        ("t", "u", "l"): 12,
        ("p",): 14,
        ("p", 0): 14,
        ("p", 0, "n"): 15,
        ("p", 0, "q"): 16,
        ("p", 0, "q", "m"): 17,
        ("p", 1): 18,
        ("p", 1, "n"): 19,
        ("p", 1, "r"): 20,
        ("p", 1, "r", 0): 20,
        ("p", 1, "r", 0, "s"): 21,
        ("p", 1, "r", 0, "v"): 22,
    }


@pytest.mark.parametrize(
    ("loc", "line"),
    [
        (("t", "u", "none"), 7),
        (("p", 1, "r", 0, "s", "deep", 3), 21),
        (("p", 7, "n"), 14),
        (("none",), 1),
        ((), 1),
    ],
)
def test_what_is_not_written_has_the_line_of_the_nearest_thing_around_it(loc: Loc, line: int):
    assert scan(DOCUMENT).line(loc) == line


def test_a_header_moves_the_line_of_a_table_that_a_longer_header_implied():
    assert scan("[a.b]\nc = 1\n[a]\nd = 1\n").table[("a",)] == 3


def test_only_what_is_written_is_contained():
    lines = scan("[a]\nb.c = [1]\n")
    assert ("a", "b", "c", 0) in lines
    assert ("a", "b", "d") not in lines


def test_lines_end_with_a_newline_be_it_after_a_carriage_return():
    assert scan('a = 1\r\nb = """\r\n"""\r\nc = 1').table == {("a",): 1, ("b",): 2, ("c",): 4}


DEEP = "nested more than 64 deep; a spec needs fewer than ten levels"
MANY_KEYS = "more than 10,000 keys; a spec has a few dozen"


@pytest.mark.parametrize(
    ("text", "excess"),
    [
        ("\na = " + "[" * 10**6, Excess(2, DEEP)),
        ("a = " + "{b=" * 10**6, Excess(1, DEEP)),
        (".".join("a" * 10**6), Excess(1, DEEP)),
        ("[" + ".".join("a" * 65), Excess(1, DEEP)),
        ("\n".join(f"k{i} = 1" for i in range(10**6)), Excess(MAX_KEYS + 1, MANY_KEYS)),
        ("a = [" + "1," * 10**6, Excess(1, "more than 250,000 values")),
        ("\nb = " + "1" * 1001, Excess(2, "a value of more than 1,000 characters without quotes")),
    ],
    ids=["arrays", "inline tables", "dotted key", "header", "keys", "values", "digits"],
)
def test_a_text_that_is_costly_to_read_is_not_read_to_its_end(text: str, excess: Excess):
    assert scan(text).excess == excess


def test_a_text_on_the_edge_of_the_limits_is_read_to_its_end():
    nested = "[" * (MAX_DEPTH - 1) + "]" * (MAX_DEPTH - 1)
    keys = "\n".join(f"k{i} = 1" for i in range(MAX_KEYS - 2))
    lines = scan(f"a = {nested}\nb = {'1' * 1000}\n{keys}\n")
    assert lines.excess is None
    assert lines.line((f"k{MAX_KEYS - 3}",)) == MAX_KEYS


@pytest.mark.parametrize(
    "text",
    [
        "'" * 3,
        '"',
        '"\\',
        "a = '''",
        '[["',
        "[a\n]]b=1",
        "a = [}{,]=",
        "=\n=\n",
        "a = {b c}",
        "]",
        "\0",
    ],
)
def test_what_is_no_toml_is_passed_without_a_fault(text: str):
    assert scan(text).excess is None


@settings(max_examples=80, deadline=None)
@given(documents, st.data())
def test_each_key_has_the_line_on_which_it_was_written(tables: dict[str, Any], data: st.DataObject):
    emitter = Emitter(data)
    emitter.document(tables)
    assert tomli.loads(emitter.text) == tables
    assert scan(emitter.text).table == emitter.lines


PIECES = [
    *("a", "b", "a.b", "=", " = ", "[", "]", "[[", "]]", "{", "}", ",", "1", " ", ".", "#", "é"),
    *('"', "'", '"""', "'''", "'''''x'''''", '""""""', "\\", "\\u0041", "\n", "\r\n"),
    *("a = 1\n", "[t]\n", "[[t]]\n", "x = [", "{ c = 2 }", "1979-05-27 07:32:00"),
]
fragments = st.lists(st.sampled_from(PIECES), max_size=25).map("".join)


@settings(max_examples=300, deadline=None)
@given(fragments)
@example("a = [1, # ]\n]\n[[b]]\n[[b]]\n[b.c]\nd = 1\n")
def test_the_keys_of_whatever_the_parser_accepts_are_found(text: str):
    lines = scan(text)
    try:
        document = tomli.loads(text)
    except tomli.TOMLDecodeError:
        return
    assert set(lines.table) == set(places(document))


def places(value: Any, loc: Loc = ()) -> list[Loc]:
    """Return the places of all keys and elements in a document."""
    items = value.items() if isinstance(value, dict) else enumerate(value)
    found: list[Loc] = []
    for key, item in items:
        found.append((*loc, key))
        if isinstance(item, (dict, list)):
            found += places(item, (*loc, key))
    return found
