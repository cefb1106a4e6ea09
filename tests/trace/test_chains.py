from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apex_opt.errors import TraceError
from apex_opt.trace.chains import openings
from apex_opt.trace.read import read
from apex_opt.trace.trace import Trace
from apex_opt.trace.writers import encode, writer
from tests.trace.traces import columns

BURST = (
    "Timestamp,Session ID,Elapsed time,Model,Request tokens,Response tokens,Total tokens,Log Type\n"
)


def burst(folder: Path, *rows: str) -> Trace:
    path = folder / "t"
    path.write_text(BURST + "".join(f"{row}\n" for row in rows))
    return read(path)


def plain(folder: Path, *rows: str) -> Trace:
    path = folder / "t"
    path.write_text("".join(f'{{"arrival_s": {row}}}\n' for row in rows))
    return read(path)


def test_think_time_is_from_the_end_of_a_reply_to_the_next_turn(tmp_path: Path) -> None:
    trace = burst(
        tmp_path,
        "10,a,3,GPT-4,100,10,110,Conversation log",
        "11,,1,GPT-4,100,10,110,API log",
        "20,a,2,GPT-4,150,10,160,Conversation log",
        "21,,1,GPT-4,500,10,510,API log",
        "21.5,a,2,GPT-4,170,10,180,Conversation log",
    )
    assert trace.after.tolist() == [-1, -1, 0, -1, 2]
    # 20 - (10 + 3); 21.5 is before 20 + 2: no time to think.
    assert trace.think_ns.tolist() == [0, 0, 7 * 10**9, 0, 0]
    assert trace.notes == ()


def test_a_prompt_too_short_for_what_was_said_begins_a_session(tmp_path: Path) -> None:
    trace = burst(
        tmp_path,
        "10,a,3,GPT-4,100,10,110,Conversation log",
        "20,a,2,GPT-4,110,10,120,Conversation log",
        "30,a,2,GPT-4,121,10,131,Conversation log",
    )
    assert trace.after.tolist() == [-1, -1, 1]
    assert trace.notes == (
        "turns whose prompt is too short for all that was said before begin a session: 1",
    )


def test_without_the_time_of_replies_pauses_count_from_the_turn_before(tmp_path: Path) -> None:
    trace = plain(
        tmp_path,
        '0, "prompt_tokens": 5, "output_tokens": 1, "session": "x"',
        '4, "prompt_tokens": 9, "output_tokens": 1, "session": "x"',
    )
    assert trace.think_ns.tolist() == [0, 4 * 10**9]
    assert trace.notes == ("think times count from the turn before, not from its unknown end",)


def test_think_times_of_the_file_are_taken_as_they_are(tmp_path: Path) -> None:
    trace = plain(
        tmp_path,
        '0, "prompt_tokens": 5, "output_tokens": 1, "session": 1',
        '4, "prompt_tokens": 9, "output_tokens": 1, "session": 1, "think_s": 0.25',
    )
    assert trace.think_ns.tolist() == [0, 250_000_000]


def test_a_trace_of_lone_requests_has_no_sessions(tmp_path: Path) -> None:
    trace = burst(tmp_path, "10,a,3,GPT-4,100,10,110,x", "11,b,3,GPT-4,100,10,110,x")
    assert len(trace.after) == 0


def test_only_the_first_child_of_a_chat_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "t"
    rows = [(1, -1, 16), (2, 1, 32), (3, 1, 48), (4, 2, 64)]
    path.write_text(
        "".join(
            f'{{"timestamp": {chat}, "input_length": {tokens}, "output_length": 1, '
            f'"chat_id": {chat}, "parent_chat_id": {parent}, "hash_ids": []}}\n'
            for chat, parent, tokens in rows
        )
    )
    assert read(path).after.tolist() == [-1, 0, -1, 1]


@pytest.mark.parametrize(
    ("row", "why"),
    [
        ('"session": [1]', "session: must be a name or a whole number"),
        ('"session": 1.5', "session: must be a name or a whole number"),
        ('"think_s": -1', "think_s: must be a time from 0 on, got `-1`"),
        ('"priority": "x"', "priority: must be a whole number, got `x`"),
        ('"priority": 1.5', "priority: must be a whole number, got `1.5`"),
        ('"priority": true', "priority: must be a whole number, got `True`"),
    ],
)
def test_a_faulty_extra_is_named(row: str, why: str, tmp_path: Path) -> None:
    with pytest.raises(TraceError) as fault:
        plain(tmp_path, f'0, "prompt_tokens": 5, "output_tokens": 1, {row}')
    assert str(fault.value) == f"{tmp_path / 't'}:1: {why}"


def test_a_part_of_a_trace_keeps_the_sessions_that_it_holds(tmp_path: Path) -> None:
    trace = burst(
        tmp_path,
        "10,a,3,GPT-4,100,10,110,x",
        "20,a,2,GPT-4,150,10,160,x",
        "25,a,2,GPT-4,190,10,160,x",
    )
    part = trace.take(slice(1, 3))
    assert part.after.tolist() == [-1, 0]
    assert part.think_ns.tolist() == [0, 3 * 10**9]


AFTER = st.lists(st.integers(0, 3), min_size=1, max_size=20)


@given(AFTER)
@settings(max_examples=60, deadline=None)
def test_sessions_and_priorities_are_written_and_read_back(
    tmp_path_factory: pytest.TempPathFactory, session: list[int]
) -> None:
    n = len(session)
    last: dict[int, int] = {}
    after = np.full(n, -1, np.int64)
    for i, which in enumerate(session):
        after[i] = last.get(which, -1)
        last[which] = i
    base = columns(range(n), [3 * (i + 1) for i in range(n)], [2] * n)
    trace = Trace(
        base.arrival_ns,
        base.prompt_tokens,
        base.output_tokens,
        "plain",
        Path("t"),
        after=after,
        think_ns=np.where(after < 0, 0, 1_000_000_007 * np.arange(n)),
        priority=np.arange(n) - 1,
    )
    path = tmp_path_factory.getbasetemp() / "sessions"
    path.write_bytes(b"".join(encode(trace, writer("plain"))))
    again = read(path)
    assert (again.after.tolist() or [-1] * n) == after.tolist()
    assert (again.think_ns.tolist() or [0] * n) == trace.think_ns.tolist()
    assert again.priority.tolist() == trace.priority.tolist()
    first = openings(after)
    assert [session[i] for i in first] == session
    assert (after[first] == -1).all()
