from __future__ import annotations

import gzip
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apex_opt.sim.load import Prefixes
from apex_opt.trace import writers as module
from apex_opt.trace.arrivals import LATEST_NS
from apex_opt.trace.read import read
from apex_opt.trace.trace import Trace
from apex_opt.trace.writers import WRITERS, Writer, encode, left_out, packed, writer
from tests.trace.traces import columns

DATA = Path(os.environ.get("APEXOPT_DATA", Path(__file__).parents[3] / "shared" / "data"))
EXACT_NS = 2**22 * 10**9
"""48 days: until then a number of seconds is read to the nanosecond, later to 64 ns and better."""

EACH = pytest.mark.parametrize("form", WRITERS, ids=lambda form: form.layout.name)
TRACE = columns([0, 3.97996, 86_400.0000004], [4808, 3180, 110], [10, 8, 1])
SHARED = {"prefix": np.array([0, 0, -1]), "prefixes": Prefixes(np.array([-1]), np.array([512]))}
RANKED = {"priority": np.array([0, 1, 0])}
CHAINED = {"after": np.array([-1, -1, -1]), "think_ns": np.zeros(3, np.int64)}


def back(trace: Trace, form: Writer, path: Path) -> Trace:
    path.write_bytes(b"".join(encode(trace, form)))
    return read(path)


@pytest.mark.parametrize(
    ("name", "lines"),
    [
        (
            "azure",
            [
                "TIMESTAMP,ContextTokens,GeneratedTokens",
                "1970-01-01 00:00:00.0000000,4808,10",
                "1970-01-01 00:00:03.9799600,3180,8",
                "1970-01-02 00:00:00.0000004,110,1",
            ],
        ),
        (
            "vidur",
            [
                "arrived_at,num_prefill_tokens,num_decode_tokens",
                "0.000000000,4808,10",
                "3.979960000,3180,8",
                "86400.000000400,110,1",
            ],
        ),
        (
            "mooncake",
            [
                '{"timestamp": 0, "input_length": 4808, "output_length": 10, "hash_ids": []}',
                '{"timestamp": 3980, "input_length": 3180, "output_length": 8, "hash_ids": []}',
                '{"timestamp": 86400000, "input_length": 110, "output_length": 1, "hash_ids": []}',
            ],
        ),
        (
            "plain",
            [
                '{"arrival_s": 0.000000000, "prompt_tokens": 4808, "output_tokens": 10}',
                '{"arrival_s": 3.979960000, "prompt_tokens": 3180, "output_tokens": 8}',
                '{"arrival_s": 86400.000000400, "prompt_tokens": 110, "output_tokens": 1}',
            ],
        ),
    ],
)
def test_each_format_is_written_as_its_own_files_are(name: str, lines: list[str]) -> None:
    text = b"".join(encode(TRACE, writer(name))).decode()
    assert text == "\n".join(lines) + "\n"


@EACH
@given(
    rows=st.lists(
        st.tuples(st.integers(0, EXACT_NS), st.integers(1, 10**9), st.integers(1, 10**9)),
        min_size=1,
        max_size=30,
    )
)
@settings(max_examples=40, deadline=None)
def test_what_is_written_reads_back_to_the_resolution_of_the_format(
    tmp_path_factory: pytest.TempPathFactory, form: Writer, rows: list[tuple[int, int, int]]
) -> None:
    at = np.sort(np.array([row[0] for row in rows], np.int64))
    prompt, output = (np.array([row[i] for row in rows], np.int64) for i in (1, 2))
    trace = Trace(at - at[0], prompt, output, "plain", Path("t"))
    again = back(trace, form, tmp_path_factory.getbasetemp() / "written")
    assert again.format == form.layout.name
    assert again.prompt_tokens.tolist() == prompt.tolist()
    assert again.output_tokens.tolist() == output.tolist()
    unit = form.resolution_ns
    nearest = (trace.arrival_ns + unit // 2) // unit * unit
    assert again.arrival_ns.tolist() == nearest.tolist()


@EACH
def test_ten_years_read_back(form: Writer, tmp_path: Path) -> None:
    trace = columns([0, LATEST_NS / 1e9])
    assert back(trace, form, tmp_path / "t").arrival_ns.tolist() == [0, LATEST_NS]


@EACH
def test_blocks_change_nothing(form: Writer, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = b"".join(encode(TRACE, form))
    monkeypatch.setattr(module, "BLOCK", 2)
    assert b"".join(encode(TRACE, form)) == whole


def test_packed_content_unpacks_and_does_not_know_the_time() -> None:
    content = [b"one\n", b"", b"two\n" * 10_000]
    once = b"".join(packed(content))
    assert gzip.decompress(once) == b"".join(content)
    assert once[4:8] == bytes(4)  # the time of the header, RFC 1952


@pytest.mark.parametrize(("name", "hint"), [("vidor", '; did you mean "vidur"?'), ("apex", "")])
def test_a_format_that_cannot_be_written_is_refused(name: str, hint: str) -> None:
    with pytest.raises(ValueError, match="unknown") as fault:
        writer(name)
    known = "can be written: azure, vidur, mooncake, plain"
    assert str(fault.value) == f"unknown format `{name}`; {known}{hint}"


def test_the_azure_trace_is_written_as_it_was_but_for_its_date() -> None:
    path = DATA / "traces" / "azure2023_conv.csv"
    if not path.exists():
        pytest.skip(f"no trace at {path}")
    trace = read(path)
    again = b"".join(encode(trace, writer("azure"))).decode().splitlines()
    for line, (at, prompt, output) in zip(
        again[1:],
        zip(trace.arrival_ns, trace.prompt_tokens, trace.output_tokens, strict=True),
        strict=True,
    ):
        minute, second = divmod(int(at) // 100, 600_000_000)
        whole, rest = divmod(second, 10_000_000)
        assert line == f"1970-01-01 00:{minute:02d}:{whole:02d}.{rest:07d},{prompt},{output}"


@pytest.mark.parametrize(
    ("changes", "name", "told"),
    [
        ({}, "vidur", []),
        ({}, "mooncake", ["`hash_ids` are empty: which prompts share a prefix is not known"]),
        ({"timed": False}, "plain", ["the trace has no times: each request is written at time 0"]),
        (SHARED, "mooncake", []),
        (SHARED, "plain", ["what prompts share is left out; mooncake has room for it"]),
        (RANKED, "azure", ["priorities are left out; plain has room for them"]),
        (RANKED, "plain", []),
        (CHAINED, "azure", ["sessions are left out; plain has room for them"]),
        (CHAINED, "plain", []),
    ],
)
def test_what_a_format_has_no_room_for_is_told(
    changes: dict[str, Any], name: str, told: list[str]
) -> None:
    assert list(left_out(replace(TRACE, **changes), writer(name))) == told
