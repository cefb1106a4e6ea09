"""Repairs: refused, or mended and counted when asked."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apex_opt.errors import TraceError
from apex_opt.trace.read import read

VIDUR = "arrived_at,num_prefill_tokens,num_decode_tokens\n"


def write(folder: Path, text: str) -> Path:
    path = folder / "t"
    path.write_text(text)
    return path


def test_requests_out_of_order_are_sorted_and_counted(tmp_path: Path) -> None:
    path = write(tmp_path, VIDUR + "3,30,3\n1,10,1\n2,20,2\n5,50,5\n")
    trace = read(path, repair=["sort"])
    assert (trace.arrival_ns / 1e9).tolist() == [0, 1, 2, 4]
    assert trace.prompt_tokens.tolist() == [10, 20, 30, 50]
    assert trace.notes == ("requests that stood after a later one are put in order: 2",)


def test_requests_of_one_moment_stay_in_their_order(tmp_path: Path) -> None:
    path = write(tmp_path, VIDUR + "2,20,1\n1,10,1\n1,11,1\n")
    assert read(path, repair=["sort"]).prompt_tokens.tolist() == [10, 11, 20]


def test_faulty_lines_are_left_out_and_the_first_is_named(tmp_path: Path) -> None:
    path = write(tmp_path, VIDUR + "1,10,1\n1.5,nan,1\n2,20\n{}\n3,30,3\n")
    trace = read(path, repair=["drop_faulty"])
    assert trace.prompt_tokens.tolist() == [10, 30]
    assert trace.notes == (
        (
            f"faulty lines are left out: 3; the first is {path}:3: "
            "num_prefill_tokens: must be a finite number, got `nan`"
        ),
    )


def test_a_repair_mends_its_own_kind_alone(tmp_path: Path) -> None:
    path = write(tmp_path, VIDUR + "1,10,0\n0.5,10,1\n0.7,-1,1\n")
    with pytest.raises(TraceError) as fault:
        read(path, repair=["sort"])
    assert str(fault.value).replace(f"{path}:", "").splitlines() == [
        "2: num_decode_tokens: 0, a request that failed; the repair `drop_failed` leaves such out",
        "4: num_prefill_tokens: must be a whole number from 1 to 1,000,000,000, got `-1`",
    ]
    mended = read(path, repair=["sort", "drop_failed", "drop_faulty"])
    assert mended.prompt_tokens.tolist() == [10]
    assert [note.split(":")[0] for note in mended.notes] == [
        "requests that failed, with no output, are left out",
        "faulty lines are left out",
    ]


def test_a_file_of_which_nothing_is_left_is_refused_with_its_first_fault(tmp_path: Path) -> None:
    path = write(tmp_path, VIDUR + "1,-10,1\n")
    why = re.escape(f"{path}:2: num_prefill_tokens: must be a whole number from 1 to")
    with pytest.raises(TraceError, match=f"^{why}"):
        read(path, repair=["drop_faulty"])


def test_times_ten_years_apart_are_refused_even_if_sorted(tmp_path: Path) -> None:
    path = write(tmp_path, VIDUR + "4e8,1,1\n1,1,1\n")
    with pytest.raises(TraceError, match=r":3: arrived_at: more than ten years after the first"):
        read(path, repair=["sort"])


def test_some_times_and_not_others_are_refused(tmp_path: Path) -> None:
    path = write(
        tmp_path, '{"input_lens": [1, 2], "output_lens": [1, 2], "start_times": [1, null]}'
    )
    with pytest.raises(TraceError) as fault:
        read(path)
    assert str(fault.value) == (
        f"{path}:1: start_times: missing in some requests and not in others"
    )


@given(st.permutations(list(range(8))))
@settings(max_examples=30, deadline=None)
def test_any_order_sorts_to_the_same_trace_with_its_sessions_and_blocks(
    tmp_path_factory: pytest.TempPathFactory, order: list[int]
) -> None:
    rows = [
        f'{{"timestamp": {i}, "input_length": {20 + 10 * i}, "output_length": 1, "chat_id": {i}, '
        f'"parent_chat_id": {i - 2}, "hash_ids": {[i % 2] * (2 + i)}}}\n'
        for i in range(8)
    ]
    folder = tmp_path_factory.getbasetemp()
    whole = read(write(folder, "".join(rows)), block_tokens=10)
    mixed = read(write(folder, "".join(rows[i] for i in order)), repair=["sort"], block_tokens=10)
    assert mixed.prompt_tokens.tolist() == whole.prompt_tokens.tolist()
    assert mixed.prefix.tolist() == whole.prefix.tolist()
    assert mixed.after.tolist() == whole.after.tolist() == [-1, -1, 0, 1, 2, 3, 4, 5]
