import gzip
import json
from pathlib import Path

import pytest

from apex_opt.cli.app import main
from apex_opt.trace.description import Description
from apex_opt.trace.read import read

LINES = [
    '{"timestamp": 0, "input_length": 100, "output_length": 10, "hash_ids": [1]}',
    '{"timestamp": 1500, "input_length": 200, "output_length": 1, "hash_ids": [1]}',
    '{"timestamp": 4000, "input_length": 300, "output_length": 30, "hash_ids": []}',
]
SHARED = "note: what prompts share is left out; mooncake has room for it\n"
ROUNDED = "note: times are rounded to milliseconds\n"
VIDUR = "the columns `arrived_at`, `num_prefill_tokens`, `num_decode_tokens`"


@pytest.fixture
def run(monkeypatch, capfd, tmp_path):
    """Run `apexopt trace` beside a trace and return (exit status, stdout, stderr)."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    Path("t.jsonl").write_text("\n".join(LINES), encoding="utf-8")

    def call(*arguments):
        monkeypatch.setattr("sys.argv", ["apexopt", "trace", *map(str, arguments)])
        with pytest.raises(SystemExit) as left:
            main()
        shown = capfd.readouterr()
        return left.value.code or 0, shown.out, shown.err

    return call


def test_a_trace_is_described_on_stdout(run):
    status, out, err = run("t.jsonl")
    assert (status, err) == (0, "")
    assert out.splitlines()[:2] == ["t.jsonl", "3 requests over 4.00 s (0.50/s), format mooncake"]
    assert max(map(len, out.splitlines())) <= 80


def test_json_on_stdout_is_the_description_and_nothing_else(run):
    status, out, err = run("t.jsonl", "--json", "-")
    assert (status, err) == (0, "")
    found = Description.model_validate_json(out)
    assert (found.schema_version, found.requests, found.rate_rps) == (1, 3, 0.5)
    assert json.loads(out)["as_trace"] == {
        "arrival": "trace",
        "file": "t.jsonl",
        "format": "mooncake",
    }


def test_json_in_a_file_leaves_stdout_to_people(run):
    status, out, _ = run("t.jsonl", "--json", "d.json", "--requests", 2)
    assert status == 0
    assert out.startswith("t.jsonl\n2 requests over 1.50 s")
    assert Description.model_validate_json(Path("d.json").read_text()).requests == 2


@pytest.mark.parametrize(
    ("form", "notes"),
    [
        ("azure", "note: the first request is dated 1970-01-01: a trace knows no date\n" + SHARED),
        ("vidur", SHARED),
        ("mooncake", ROUNDED),
        ("plain", SHARED),
    ],
)
@pytest.mark.parametrize("name", ["new", "new.gz"])
def test_a_part_is_written_in_another_format(form, notes, name, run):
    options = ("--from", 1, "--until", 4.5, "--time-scale", 2, "--to", form, "-o", name)
    status, out, err = run("t.jsonl", *options)
    assert (status, out) == (0, "")
    assert err == f"2 requests written as {form}\n" + notes
    again = read(name, form)
    assert again.arrival_ns.tolist() == [0, 5_000_000_000]
    assert again.prompt_tokens.tolist() == [200, 300]
    assert again.output_tokens.tolist() == [1, 30]
    assert (Path(name).read_bytes()[:2] == b"\x1f\x8b") == name.endswith(".gz")


def test_a_trace_is_written_to_stdout_and_described_in_a_file(run):
    status, out, _ = run("t.jsonl", "--to", "vidur", "-o", "-", "--json", "d.json")
    assert status == 0
    assert out == (
        "arrived_at,num_prefill_tokens,num_decode_tokens\n"
        "0.000000000,100,10\n1.500000000,200,1\n4.000000000,300,30\n"
    )
    assert Description.model_validate_json(Path("d.json").read_text()).requests == 3


def test_a_packed_trace_is_packed_again_with_the_same_bytes(run):
    for name in ("a.gz", "b.gz"):
        assert run("t.jsonl", "--to", "plain", "-o", name)[0] == 0
    assert Path("a.gz").read_bytes() == Path("b.gz").read_bytes()
    assert gzip.decompress(Path("a.gz").read_bytes()).count(b"\n") == 3


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (["no.csv"], "no.csv: no such file"),
        (
            ["t.jsonl", "--format", "vidur"],
            f"t.jsonl:1: not of the format vidur, which has {VIDUR}",
        ),
        (["t.jsonl", "--to", "plain"], "--to plain needs -o FILE, or -o - for stdout"),
        (["t.jsonl", "-o", "x"], "-o x needs --to FORMAT, for example --to plain"),
        (
            ["t.jsonl", "--to", "csv", "-o", "x"],
            "--to: unknown format `csv`; can be written: azure, vidur, mooncake, plain",
        ),
        (
            ["t.jsonl", "--to", "plain", "-o", "-", "--json", "-"],
            "the trace and its description cannot both go to -",
        ),
        (["t.jsonl", "--requests", "4"], "4 requests are asked for, there are 3"),
        (
            ["t.jsonl", "--from", "9"],
            "from 9 s on there is no request; the trace goes on for 4 s",
        ),
        (
            ["t.jsonl", "--to", "plain", "-o", "no/x"],
            "no/x: cannot be written: No such file or directory",
        ),
    ],
)
def test_a_wrong_call_is_told_in_one_line_with_status_2(options, why, run):
    status, out, err = run(*options)
    assert (status, out, err) == (2, "", f"error: {why}\n")
    assert not Path("x").exists()


def test_repairs_are_made_when_asked_and_told(run):
    Path("t.csv").write_text(
        "arrived_at,num_prefill_tokens,num_decode_tokens\n2,20,2\n1,10,1\n3,30,0\n4,x,1\n"
    )
    status, out, _ = run("t.csv", "--repair", "sort, drop_failed,drop_faulty")
    assert status == 0
    assert out.startswith("t.csv\n2 requests over 1.00 s")
    notes = out[out.index("Notes\n") :].splitlines()
    assert notes[1:5] == [
        "  requests that failed, with no output, are left out: 1",
        "  faulty lines are left out: 1; the first is t.csv:5: num_prefill_tokens: must",
        "  be a number, got `x`",
        "  requests that stood after a later one are put in order: 1",
    ]
    assert '    "sort", "drop_failed", "drop_faulty",' in out


def test_a_repair_nobody_knows_is_refused(run):
    status, out, err = run("t.jsonl", "--repair", "sort,drop_fault")
    assert (status, out) == (2, "")
    assert err == (
        "error: --repair: unknown `drop_fault`; known are sort, drop_failed, drop_faulty; "
        'did you mean "drop_faulty"?\n'
    )


def test_what_prompts_share_is_written_for_mooncake(run):
    assert run("t.jsonl", "--to", "mooncake", "-o", "new")[0] == 0
    ids = [json.loads(line)["hash_ids"] for line in Path("new").read_text().splitlines()]
    assert ids == [[0], [1], [2]]  # prompts of 100, 200 and 300 tokens: in part, and not equal


def test_the_block_of_hashes_may_be_said(run):
    Path("b.jsonl").write_text(
        '{"timestamp": 0, "input_length": 64, "output_length": 1, "hash_ids": [1, 2]}\n'
        '{"timestamp": 1, "input_length": 96, "output_length": 1, "hash_ids": [1, 2, 3]}\n'
    )
    status, out, _ = run("b.jsonl", "--block-tokens", 32)
    assert status == 0
    assert "an unlimited one saves 40 % of the prompt tokens" in out  # 64 of 160
    assert "  block_tokens = 32" in out
    assert run("b.jsonl")[2] == (
        "error: b.jsonl:1: hash_ids: 2 blocks of 512 tokens are not a prompt of 64; "
        "say with `block_tokens` how long a block is\n"
        "b.jsonl:2: hash_ids: 3 blocks of 512 tokens are not a prompt of 96; "
        "say with `block_tokens` how long a block is\n"
    )


def test_sessions_are_described_and_written_as_plain(run):
    Path("s.csv").write_text(
        "arrival_s,prompt_tokens,output_tokens,session,think_s\n0,10,1,a,\n5,20,1,a,2\n"
    )
    assert "  turns       2.00 mean, 2 at most" in run("s.csv")[1]
    assert run("s.csv", "--to", "plain", "-o", "new")[2] == "2 requests written as plain\n"
    assert read("new").think_ns.tolist() == [0, 2 * 10**9]
    err = run("s.csv", "--to", "vidur", "-o", "new")[2]
    assert err.endswith("note: sessions are left out; plain has room for them\n")


def test_conversations_without_times_are_described_by_their_lengths(run):
    message = [{"from": "human", "value": "x" * 40}, {"from": "gpt", "value": "y" * 8}]
    Path("c.json").write_text(json.dumps([{"conversations": message}]))
    status, out, _ = run("c.json", "--characters-per-token", 2)
    assert status == 0
    assert out.startswith("c.json\n1 request without times, format sharegpt\n")
    assert run("c.json", "--from", 1)[2] == "error: the trace does not say when requests came\n"
    err = run("c.json", "--to", "plain", "-o", "new")[2]
    assert err.endswith("note: the trace has no times: each request is written at time 0\n")
