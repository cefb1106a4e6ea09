from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apex_opt.errors import TraceError
from apex_opt.trace.readers import stream
from apex_opt.trace.readers.stream import values


def write(folder: Path, text: str | bytes) -> Path:
    path = folder / "t"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


SCALARS = st.none() | st.booleans() | st.integers() | st.text(max_size=12)
JSON = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner)
)
RECORDS = st.lists(st.dictionaries(st.text(max_size=4), JSON, max_size=4), min_size=1, max_size=6)


@given(records=RECORDS, chunk=st.integers(1, 40), indent=st.none() | st.integers(0, 2))
@settings(max_examples=40, deadline=None)
def test_chunks_of_any_size_give_the_same_values(
    tmp_path_factory: pytest.TempPathFactory, records: list[object], chunk: int, indent: int | None
) -> None:
    path = write(tmp_path_factory.getbasetemp(), json.dumps(records, indent=indent))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stream, "CHUNK", chunk)
        assert [value for _, value in values(path)] == records


def test_values_come_with_the_lines_on_which_they_begin(tmp_path: Path) -> None:
    assert list(values(write(tmp_path, '\n[\n{"a":\n1},\n\n 2,\n"x"]\n'))) == [
        (3, {"a": 1}), (6, 2), (7, "x"),
    ]  # fmt: skip


def test_values_may_follow_one_another_without_a_list(tmp_path: Path) -> None:
    assert [v for _, v in values(write(tmp_path, '{"a":\n1}\n{"a": 2}'))] == [{"a": 1}, {"a": 2}]


def test_an_empty_list_has_no_values(tmp_path: Path) -> None:
    assert list(values(write(tmp_path, " [ ] "))) == []


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('[{"a": 1},', ":1: not JSON, or cut off"),
        ('[{"a": 1}\n', ":2: not JSON, or cut off"),
        ('[{"a": "x', ":1: not JSON, or cut off"),
        ('[\n{"a": 1} {"b": 2}]', ":2: not JSON, or cut off"),
        ("[{'a': 1, 'b': 2, 'c': 3}]", ":1: not JSON, or cut off"),
        ("[1,]", ":1: not JSON, or cut off"),
        ("[1] 2", ":1: something follows the end of the list"),
        ("[" * 100_000, ":1: not JSON: nested too deep"),
        ("[1" + "0" * 5000 + "]", ":1: not JSON: a number of thousands of digits"),
        (b'["\xff"]', ": not UTF-8; save the file as UTF-8"),
        (b'["\xe2\x82', ": not UTF-8; save the file as UTF-8"),
    ],
)
def test_what_is_no_json_is_told_with_its_line(text: str | bytes, why: str, tmp_path: Path) -> None:
    path = write(tmp_path, text)
    with pytest.raises(TraceError, match=f"^{re.escape(f'{path}{why}')}$"):
        list(values(path))


def test_a_value_that_is_too_long_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "MOST_CHARACTERS", 1000)
    monkeypatch.setattr(stream, "CHUNK", 100)
    path = write(tmp_path, f'["{"x" * 3000}"]')
    with pytest.raises(TraceError, match=r":1: a value of more than 256 MiB, this is no trace$"):
        list(values(path))


def test_a_file_that_is_too_long_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "MOST_BYTES", 100)
    path = write(tmp_path, json.dumps([1] * 100))
    with pytest.raises(
        TraceError, match=r": unpacks to more than 2 GiB; cut the trace into parts$"
    ):
        list(values(path))
