from __future__ import annotations

import gzip
import json
import os
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apex_opt.errors import TraceError
from apex_opt.spec.workload import REPAIRS, Repair, Workload
from apex_opt.trace.read import read
from apex_opt.trace.readers import lines as lines_module
from apex_opt.trace.readers import source
from apex_opt.trace.readers.detect import FORMATS

DATA = Path(os.environ.get("APEXOPT_DATA", Path(__file__).parents[3] / "shared" / "data"))
AZURE = "TIMESTAMP,ContextTokens,GeneratedTokens\n"
VIDUR = "arrived_at,num_prefill_tokens,num_decode_tokens\n"
ONE = '{"arrival_s": 0.5, "prompt_tokens": 7, "output_tokens": 2}\n'

SECONDS = {
    "azure": AZURE + "2023-11-16 23:59:59.5000000,100,10\n2023-11-17 00:00:02.0000001,200,20",
    "vidur": VIDUR + "0.0,100,10\n2.5000001,200,20\n",
    "burstgpt": "Timestamp,Session ID,Elapsed time,Model,Request tokens,Response tokens,"
    "Total tokens,Log Type\n1,a,3.5,ChatGPT,100,10,110,API log\n"
    "3.5000001,b,1,GPT-4,200,20,220,Conversation log\n",
    "splitwise": "request_id,request_type,application_id,arrival_timestamp,batch_size,"
    "prompt_size,token_size\n0,2,0,0.25,1,100,10\n1,2,0,2.7500001,1,200,20\n",
    "plain": '{"arrival_s": 1, "prompt_tokens": 100, "output_tokens": 10}\n'
    '{"arrival_s": 3.5000001, "prompt_tokens": 200, "output_tokens": 20}\n',
    "bailian": '{"chat_id": 1, "parent_chat_id": -1, "timestamp": 1.0, "input_length": 100, '
    '"output_length": 10, "type": "text", "turn": 1, "hash_ids": [3, 4, 5, 6, 7, 8]}\n'
    '{"chat_id": 2, "parent_chat_id": 1, "timestamp": 3.5000001, "input_length": 200, '
    '"output_length": 20, "type": "text", "turn": 2, "hash_ids": []}\n',
    "mooncake": '{"timestamp": 0, "input_length": 100, "output_length": 10, "hash_ids": [1]}\n'
    '{"timestamp": 2500.0001, "input_length": 200, "output_length": 20, "hash_ids": []}\n',
    "apex": '{"ContextTokens": 100, "GeneratedTokens": 10, "StartTimeOffset": 7}\n'
    '{"ContextTokens": 200, "GeneratedTokens": 20, "StartTimeOffset": 2500000107}\n',
    "llmservingsim": '{"input_toks": 100, "output_toks": 10, "arrival_time_ns": 0}\n'
    '{"input_toks": 200, "output_toks": 20, "arrival_time_ns": 2500000100}\n',
}
"""The same two requests, 2.5 seconds and 100 ns apart, in each format."""


def write(folder: Path, content: str | bytes, name: str = "t") -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def fault(path: Path, name: str | None = None) -> str:
    """Return what is wrong with a file, without the folder it stands in."""
    with pytest.raises(TraceError) as raised:
        read(path, name)
    return str(raised.value).replace(f"{path.parent}{os.sep}", "")


@pytest.mark.parametrize("name", SECONDS)
def test_each_format_is_known_by_its_columns_and_read_in_its_unit(
    name: str, tmp_path: Path
) -> None:
    trace = read(write(tmp_path, SECONDS[name]))
    assert trace.format == name
    assert trace.arrival_ns.tolist() == [0, 2_500_000_100]
    assert trace.prompt_tokens.tolist() == [100, 200]
    assert trace.output_tokens.tolist() == [10, 20]


@pytest.mark.parametrize("name", SECONDS)
def test_a_format_that_is_named_is_checked(name: str, tmp_path: Path) -> None:
    path = write(tmp_path, SECONDS[name])
    assert read(path, name).format == name
    other = "vidur" if name == "azure" else "azure"
    assert fault(path, other).startswith(f"t:1: not of the format {other}, which has the columns ")


@pytest.mark.parametrize("end", ["\n", "\r\n", "\n\n\n"])
def test_line_ends_marks_and_blank_lines_do_not_matter(end: str, tmp_path: Path) -> None:
    text = "\ufeff" + SECONDS["vidur"].replace("\n", end)
    assert read(write(tmp_path, text)).prompt_tokens.tolist() == [100, 200]


def test_gzip_is_known_by_its_content(tmp_path: Path) -> None:
    path = write(tmp_path, gzip.compress(SECONDS["apex"].encode()), "trace.jsonl")
    assert read(path).arrival_ns.tolist() == [0, 2_500_000_100]


def test_columns_may_stand_in_any_order(tmp_path: Path) -> None:
    text = "ContextTokens,TIMESTAMP,GeneratedTokens\n100,2023-11-16T18:17:03,5\n"
    assert read(write(tmp_path, text)).output_tokens.tolist() == [5]


def test_times_with_an_offset_are_compared_in_utc(tmp_path: Path) -> None:
    text = AZURE + "2024-05-10 00:00:00.009930+00:00,1,1\n2024-05-10 02:00:01+02:00,1,1\n"
    text += "2024-05-09 23:00:02-01:00,1,1\n2024-05-10 00:00:03Z,1,1\n"
    assert read(write(tmp_path, text)).arrival_ns.tolist() == [
        0, 990_070_000, 1_990_070_000, 2_990_070_000,
    ]  # fmt: skip


def test_quoted_cells_are_read(tmp_path: Path) -> None:
    header = "Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type\n"
    trace = read(write(tmp_path, header + '5,"a, b",3,4,7,x\n'))
    assert trace.prompt_tokens.tolist() == [3]


def test_requests_that_failed_are_left_out_only_when_asked(tmp_path: Path) -> None:
    text = SECONDS["burstgpt"].replace(",200,20,", ",200,0,")
    path = write(tmp_path, text)
    assert fault(path) == (
        "t:3: Response tokens: 0, a request that failed; the repair `drop_failed` leaves such out"
    )
    trace = read(path, repair=["drop_failed"])
    assert len(trace) == 1
    assert trace.notes == ("requests that failed, with no output, are left out: 1",)


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("1.0,0,5", "num_prefill_tokens: must be a whole number from 1 to 1,000,000,000, got `0`"),
        (
            "1.0,5,0",
            "num_decode_tokens: 0, a request that failed; the repair `drop_failed` leaves such out",
        ),
        (
            "1.0,-3,5",
            "num_prefill_tokens: must be a whole number from 1 to 1,000,000,000, got `-3`",
        ),
        (
            "1.0,1.5,5",
            "num_prefill_tokens: must be a whole number from 1 to 1,000,000,000, got `1.5`",
        ),
        (
            "1.0,1000000001,5",
            "num_prefill_tokens: must be a whole number from 1 to 1,000,000,000, got `1000000001`",
        ),
        ("1.0,nan,5", "num_prefill_tokens: must be a finite number, got `nan`"),
        ("1.0,many,5", "num_prefill_tokens: must be a number, got `many`"),
        ("1.0,1_0,5", "num_prefill_tokens: must be a number, got `1_0`"),
        ("1.0,,5", "num_prefill_tokens: must be a number, got ``"),
        ("nan,1,5", "arrived_at: must be a finite number, got `nan`"),
        ("inf,1,5", "arrived_at: must be a finite number, got `inf`"),
        ("-0.5,1,5", "arrived_at: must be a time from 0 on, got `-0.5`"),
        ("1e300,1,5", "arrived_at: must be a time from 0 on, got `1e300`"),
        ("4e8,1,5", "arrived_at: more than ten years after the first request"),
        (
            "0.4,1,5",
            "arrived_at: earlier than the request before; the repair `sort` puts them in order",
        ),
        ("1.0,5", "must have 3 columns, got 2"),
        ("1.0,5,6,7", "must have 3 columns, got 4"),
        ('1.0,"5,6', "a quote is not closed, or stands inside a cell"),
        (ONE.strip(), 'arrived_at: must be a number, got `{"arrival_s": 0.5`'),
    ],
)
def test_a_faulty_line_of_a_csv_is_named_with_its_reason(
    line: str, why: str, tmp_path: Path
) -> None:
    assert fault(write(tmp_path, f"{VIDUR}0.5,1,1\n{line}\n")) == f"t:3: {why}"


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ('{"arrival_s": 1.0, "prompt_tokens": 5', "not a JSON object, or cut off"),
        ("[1, 2]", "not a JSON object"),
        ("1.0,5,6", "not a JSON object, or cut off"),
        ("[" * 100_000, "not a JSON object: nested too deep"),
        ('{"arrival_s": 1.0, "prompt_tokens": 5}', "the key `output_tokens` is missing"),
        (
            '{"arrival_s": 1, "prompt_tokens": true, "output_tokens": 5}',
            "prompt_tokens: must be a number, got `true`",
        ),
        (
            '{"arrival_s": 1, "prompt_tokens": 5, "output_tokens": null}',
            "output_tokens: must be a number, got `null`",
        ),
        (
            '{"arrival_s": NaN, "prompt_tokens": 5, "output_tokens": 5}',
            "arrival_s: must be a finite number, got `NaN`",
        ),
        (
            '{"arrival_s": 1, "prompt_tokens": [5], "output_tokens": 5}',
            "prompt_tokens: must be a number, got `[5]`",
        ),
        (
            '{"arrival_s": 1, "prompt_tokens": 1' + "0" * 400 + ', "output_tokens": 5}',
            "prompt_tokens: must be a whole number from 1 to 1,000,000,000, got `1"
            + "0" * 58
            + "…`",
        ),
    ],
)
def test_a_faulty_line_of_json_is_named_with_its_reason(
    line: str, why: str, tmp_path: Path
) -> None:
    assert fault(write(tmp_path, f"{ONE}{line}\n")) == f"t:2: {why}"


def test_a_date_that_is_none_is_named(tmp_path: Path) -> None:
    text = AZURE + "2023-02-30 00:00:00,1,1\n17:03:22,1,1\n"
    example = "must be a date and time such as 2023-11-16 18:17:03.9799600, got"
    assert fault(write(tmp_path, text)) == (
        f"t:2: TIMESTAMP: {example} `2023-02-30 00:00:00`\nt:3: TIMESTAMP: {example} `17:03:22`"
    )


def test_the_first_twenty_faults_are_listed_and_the_others_counted(tmp_path: Path) -> None:
    text = VIDUR + "1,0,1\n" * 1023
    *listed, last = fault(write(tmp_path, text)).splitlines()
    assert [row.split(":")[1] for row in listed] == [str(n) for n in range(2, 22)]
    assert last == "and 1,003 more"


def test_a_file_of_an_unknown_format_says_which_are_known(tmp_path: Path) -> None:
    text = fault(write(tmp_path, "time,in,out\n1,2,3\n"))
    assert text == (
        "t:1: no known format has the columns `time`, `in`, `out`. Known are "
        "azure: the columns `TIMESTAMP`, `ContextTokens`, `GeneratedTokens`; "
        "vidur: the columns `arrived_at`, `num_prefill_tokens`, `num_decode_tokens`; "
        "burstgpt: the columns `Timestamp`, `Request tokens`, `Response tokens`, `Model`, "
        "`Total tokens`, `Log Type`; "
        "splitwise: the columns `arrival_timestamp`, `prompt_size`, `token_size`, `request_id`, "
        "`request_type`, `application_id`, `batch_size`; "
        "plain: the columns `arrival_s`, `prompt_tokens`, `output_tokens`"
    )


def test_a_format_nobody_knows_is_refused_with_the_nearest(tmp_path: Path) -> None:
    assert fault(write(tmp_path, ONE), "azur") == (
        "t: unknown format `azur`; known are azure, vidur, burstgpt, splitwise, plain, bailian, "
        'mooncake, apex, llmservingsim, inference-perf, sharegpt, bench; did you mean "azure"?'
    )


def test_the_spec_lists_every_format() -> None:
    words = Workload.model_fields["format"].description or ""
    assert re.findall(r"[\w-]+", words.split(";")[0])[4:] == [*FORMATS[:-1], "or", FORMATS[-1]]


def test_a_csv_with_a_column_too_many_is_of_no_format(tmp_path: Path) -> None:
    text = fault(write(tmp_path, "TIMESTAMP,NumImages,ContextTokens,GeneratedTokens\n"))
    assert text.startswith("t:1: no known format has the columns `TIMESTAMP`, `NumImages`, ")


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "t: empty"),
        (b"\n\n  \n", "t: empty"),
        (VIDUR.encode(), "t: no request in it"),
        (AZURE.encode("utf-16"), "t:1: not UTF-8 (byte 0xff); save the file as UTF-8"),
        (VIDUR.encode() + b"0,1,\xe9\n", "t:2: not UTF-8 (byte 0xe9); save the file as UTF-8"),
        (VIDUR.encode() + b"0" * (2 << 20), "t:2: longer than 1 MiB, this is no line of a trace"),
        (
            gzip.compress(b"\0" * (8 << 20), mtime=0),
            "t:1: longer than 1 MiB, this is no line of a trace",
        ),
        (gzip.compress(ONE.encode(), mtime=0)[:-9], "t: the gzip data are damaged or cut off"),
        (b"\x1f\x8b\x00\x00", "t: the gzip data are damaged or cut off"),
    ],
)
def test_a_file_that_cannot_be_a_trace_is_refused(content: bytes, why: str, tmp_path: Path) -> None:
    assert fault(write(tmp_path, content)) == why


def test_a_missing_file_a_folder_and_a_pipe_are_refused(tmp_path: Path) -> None:
    assert fault(tmp_path / "none.csv") == "none.csv: no such file"
    (tmp_path / "folder").mkdir()
    assert fault(tmp_path / "folder") == "folder: a folder, not a file"
    os.mkfifo(tmp_path / "pipe")
    assert fault(tmp_path / "pipe") == "pipe: a pipe, not a regular file"


def test_a_name_with_a_nul_character_is_no_file() -> None:
    why = r"a\u0000b: no such file: its name has a NUL character"
    with pytest.raises(TraceError, match=f"^{re.escape(why)}$"):
        read("a\0b")


def test_a_file_that_unpacks_to_more_than_the_limit_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lines_module, "MOST_BYTES", 10 * len(ONE))
    path = write(tmp_path, gzip.compress(ONE.encode() * 1000))
    assert fault(path) == "t:11: unpacks to more than 2 GiB; cut the trace into parts"


def test_a_file_that_is_too_large_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = write(tmp_path, ONE)
    os.truncate(path, (2 << 30) + 1)  # a hole: it takes no space
    assert fault(path) == "t: larger than 2 GiB; cut the trace into parts"


def test_a_trace_of_more_requests_than_the_limit_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source, "MOST_REQUESTS", 2)
    assert fault(write(tmp_path, ONE * 3)) == (
        "t:3: more than 2 requests; cut the trace into parts"
    )


STARTS = [
    b"",
    VIDUR.encode(),
    ONE.encode(),
    b"[",
    b"PAR1",
    b'{"input_lens": ',
    b'[{"conversations": [',
    b'{"timestamp": 0, "input_length": 5, "output_length": 6, "hash_ids": ',
]
JSON_NOISE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=6,
).map(lambda value: json.dumps(value).encode() + b"}]")


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(STARTS), st.binary(max_size=200) | JSON_NOISE, st.sampled_from([(), REPAIRS])
)
def test_whatever_a_file_holds_it_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory,
    start: bytes,
    noise: bytes,
    repair: tuple[Repair, ...],
) -> None:
    path = write(tmp_path_factory.mktemp("noise"), start + noise)
    try:
        trace = read(path, repair=repair)
    except TraceError:
        return
    assert len(trace) >= 1
    assert (np.diff(trace.arrival_ns) >= 0).all()
    assert min(trace.prompt_tokens.min(), trace.output_tokens.min()) >= 1


REQUEST = st.tuples(st.integers(0, 10**15), st.integers(1, 10**9), st.integers(1, 10**9))


@settings(max_examples=40, deadline=None)
@given(st.lists(REQUEST, min_size=1, max_size=30))
def test_what_is_written_in_nanoseconds_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, requests: list[tuple[int, int, int]]
) -> None:
    requests.sort()
    text = "".join(
        f'{{"arrival_time_ns": {at}, "input_toks": {prompt}, "output_toks": {output}}}\n'
        for at, prompt, output in requests
    )
    trace = read(write(tmp_path_factory.mktemp("trace"), text))
    first = requests[0][0]
    assert trace.arrival_ns.tolist() == [at - first for at, _, _ in requests]
    assert trace.prompt_tokens.tolist() == [prompt for _, prompt, _ in requests]
    assert trace.output_tokens.tolist() == [output for _, _, output in requests]


def test_the_synthetic_trace_of_the_examples_is_in_azure_format() -> None:
    trace = read(Path(__file__).parents[2] / "specs" / "examples" / "azure-format.csv")
    assert trace.format == "azure"
    assert len(trace) == 2000


@pytest.mark.skipif(not (DATA / "traces").is_dir(), reason=f"no measured traces in {DATA}")
def test_the_public_traces_have_the_counts_that_were_published() -> None:
    """Rows and means as counted from the files of Azure 2023; Vidur's are the same, re-based."""
    code, conversation = (
        read(DATA / "traces" / f"azure2023_{kind}.csv") for kind in ("code", "conv")
    )
    assert (len(code), len(conversation)) == (8819, 19366)
    assert (round(code.prompt_tokens.mean()), round(code.output_tokens.mean())) == (2048, 28)
    assert conversation.prompt_tokens.max() == 14050
    vidur = read(DATA / "traces" / "vidur_splitwise_code.csv")
    assert (vidur.prompt_tokens == code.prompt_tokens).all()
    assert np.abs(vidur.arrival_ns - code.arrival_ns).max() < 2_000
