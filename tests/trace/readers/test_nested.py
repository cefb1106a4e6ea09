"""Formats whose JSON objects hold many requests, or nest what they say of one."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from apex_opt.errors import TraceError
from apex_opt.trace.read import read
from apex_opt.trace.trace import Trace

BENCH = {
    "date": "20260101-000000",
    "input_lens": [100, 300, 200],
    "output_lens": [10, 30, 20],
    "start_times": [50.0, 52.5000001, 51.0],
    "errors": ["", "", ""],
    "ttfts": [0.1, 0.1, 0.1],
}
LIFECYCLE = [
    {
        "start_time": at,
        "end_time": at + 3,
        "request": "{}",
        "response": "text",
        "info": {"input_tokens": prompt, "output_tokens": output, "output_token_times": []},
        "error": None,
    }
    for at, prompt, output in ((5.0, 100, 10), (7.5, 300, 30), (6.0, 200, 20))
]
CHATS = [
    {
        "id": "a_0",
        "conversations": [
            {"from": "human", "value": "x" * 40},
            {"from": "gpt", "value": "y" * 17},
            {"from": "human", "value": "z" * 8},
            {"from": "gpt", "value": "y" * 4},
        ],
    },
    {
        "id": "b_0",
        "conversations": [
            {"from": "gpt", "value": "hello!!!"},
            {"from": "system", "value": "be short", "tokens": 3},
            {"from": "gpt", "value": "ok", "tokens": 1},
        ],
    },
]


def write(folder: Path, content: Any, **style: Any) -> Path:
    path = folder / "t"
    path.write_text(json.dumps(content, **style))
    return path


def fault(path: Path) -> str:
    with pytest.raises(TraceError) as raised:
        read(path)
    return str(raised.value).replace(str(path), "t")


def in_order(trace: Trace) -> list[tuple[float, int, int]]:
    """Return (seconds, prompt, output) of each request."""
    at = (trace.arrival_ns / 1e9).tolist()
    return list(zip(at, trace.prompt_tokens.tolist(), trace.output_tokens.tolist(), strict=True))


@pytest.mark.parametrize("style", [{}, {"indent": 2}], ids=["one line", "many lines"])
def test_a_benchmark_result_is_put_in_order_of_time(style: dict[str, Any], tmp_path: Path) -> None:
    trace = read(write(tmp_path, BENCH, **style))
    assert trace.format == "bench"
    assert in_order(trace) == [(0, 100, 10), (1.0, 200, 20), (2.5000001, 300, 30)]
    assert trace.notes == ()


def test_a_benchmark_result_without_times_has_lengths_alone(tmp_path: Path) -> None:
    trace = read(write(tmp_path, {k: v for k, v in BENCH.items() if k != "start_times"}))
    assert not trace.timed
    assert in_order(trace) == [(0, 100, 10), (0, 300, 30), (0, 200, 20)]


def test_a_request_that_failed_in_a_benchmark_is_refused_or_left_out(tmp_path: Path) -> None:
    path = write(tmp_path, {**BENCH, "output_lens": [10, 0, 20]})
    assert fault(path) == (
        "t:1: output_lens: 0, a request that failed; the repair `drop_failed` leaves such out"
    )
    assert read(path, repair=["drop_failed"]).prompt_tokens.tolist() == [100, 200]


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (
            {"input_lens": 5},
            "input_lens and output_lens must be lists; save the result with details",
        ),
        (
            {"output_lens": [1, 2]},
            "start_times, input_lens and output_lens must be lists of one length",
        ),
        (
            {"start_times": {"a": 1}},
            "start_times, input_lens and output_lens must be lists of one length",
        ),
        ({"start_times": [1, 2, "x"]}, "start_times: must be a number, got `x`"),
    ],
)
def test_a_broken_benchmark_result_is_refused(
    change: dict[str, Any], why: str, tmp_path: Path
) -> None:
    assert fault(write(tmp_path, {**BENCH, **change})) == f"t:1: {why}"


def test_a_report_of_inference_perf_is_put_in_order_of_time(tmp_path: Path) -> None:
    trace = read(write(tmp_path, LIFECYCLE, indent=1))
    assert trace.format == "inference-perf"
    assert in_order(trace) == [(0, 100, 10), (1.0, 200, 20), (2.5, 300, 30)]


def test_a_request_of_inference_perf_that_failed_is_told_with_its_line(tmp_path: Path) -> None:
    broken = [LIFECYCLE[0], {**LIFECYCLE[1], "error": {"error_type": "timeout"}}]
    path = write(tmp_path, broken, indent=1)
    line = path.read_text().splitlines().index(" {", 2) + 1
    assert fault(path) == (
        f"t:{line}: info.output_tokens: 0, a request that failed; "
        "the repair `drop_failed` leaves such out"
    )
    missing = [LIFECYCLE[0], {"start_time": 1, "end_time": 2}, {**LIFECYCLE[0], "info": [1]}]
    assert fault(write(tmp_path, missing)).splitlines() == [
        "t:1: the key `info` is missing",
        "t:1: info: must be an object",
    ]


def test_every_reply_of_a_conversation_is_a_request_with_all_before_it(tmp_path: Path) -> None:
    trace = read(write(tmp_path, CHATS))
    assert (trace.format, trace.timed) == ("sharegpt", False)
    # Four characters a token: 10, 5 (17), 2, 1; then 2 (8), 3 and 1 as given.
    assert in_order(trace) == [(0, 10, 5), (0, 17, 1), (0, 5, 1)]
    assert trace.after.tolist() == [-1, 0, -1]
    assert trace.notes[0] == ("tokens are estimated, where they are not given: 4 characters each")


def test_characters_of_a_token_may_be_said(tmp_path: Path) -> None:
    trace = read(write(tmp_path, CHATS), characters_per_token=2.5)
    assert trace.prompt_tokens.tolist() == [16, 27, 7]
    assert "2.5 characters" in trace.notes[0]


@pytest.mark.parametrize(
    ("conversations", "why"),
    [
        ("x", "conversations: must be a list of messages"),
        (["x"], 'conversations: a message must be { "from": "human", "value": "..." }'),
        (
            [{"from": "human", "value": 3}],
            'conversations: a message must be { "from": "human", "value": "..." }',
        ),
        (
            [{"from": "human", "value": "x"}, {"from": "gpt", "value": ""}],
            "conversations: 0, a request that failed; the repair `drop_failed` leaves such out",
        ),
    ],
)
def test_a_broken_conversation_is_refused(conversations: object, why: str, tmp_path: Path) -> None:
    assert fault(write(tmp_path, [{"conversations": conversations}])) == f"t:1: {why}"


def test_a_list_of_plain_requests_is_read_too(tmp_path: Path) -> None:
    rows = [{"arrival_s": i, "prompt_tokens": 5, "output_tokens": 6} for i in range(3)]
    trace = read(write(tmp_path, rows))
    assert (trace.format, len(trace)) == ("plain", 3)


def test_nested_files_may_be_packed(tmp_path: Path) -> None:
    path = tmp_path / "t"
    path.write_bytes(gzip.compress(json.dumps(BENCH).encode()))
    assert len(read(path)) == 3


def test_an_object_of_no_known_format_is_told_what_is_known(tmp_path: Path) -> None:
    told = fault(write(tmp_path, [{"a": 1}]))
    assert told.startswith("t:1: no known format has the columns `a`. Known are plain: ")
    assert "; inference-perf: the columns `start_time`, `end_time`, `info`; " in told
    assert told.endswith("; bench: the columns `input_lens`, `output_lens`")


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ([], "t: no request in it"),
        ([3], "t:1: not a JSON object"),
        ([[]], "t:1: not a JSON object"),
    ],
)
def test_a_list_without_requests_is_refused(content: object, why: str, tmp_path: Path) -> None:
    assert fault(write(tmp_path, content)) == why


def test_values_that_are_no_objects_are_told_among_requests(tmp_path: Path) -> None:
    row = {"arrival_s": 1, "prompt_tokens": 5, "output_tokens": 6}
    assert fault(write(tmp_path, [row, 7, row])) == "t:1: not a JSON object"
    assert len(read(tmp_path / "t", repair=["drop_faulty"])) == 2
