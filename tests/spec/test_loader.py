"""Loading a spec: what is right comes back whole, what is wrong is told in full."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest
import tomli
from hypothesis import given, settings
from hypothesis import strategies as st

from apex_opt.errors import NotBuiltError, SpecError
from apex_opt.spec.loader import load, load_with_lines, loads, loads_json, require_built
from apex_opt.spec.spec import Spec
from tests.spec.texts import TABLES, faults, spec, spec_text

HOSTILE = Path(__file__).parent / "hostile"
DEEP = "nested more than 64 deep; a spec needs fewer than ten levels"
CASES = sorted(path.stem for path in HOSTILE.glob("*.toml"))


def test_each_hostile_spec_has_an_expected_message():
    assert sorted(path.stem for path in HOSTILE.glob("*.txt")) == CASES
    assert len(CASES) >= 30


@pytest.mark.parametrize("case", CASES)
def test_a_hostile_spec_is_refused_with_all_its_faults(case: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(HOSTILE)
    with pytest.raises(SpecError) as caught:
        load(f"{case}.toml")
    assert str(caught.value) == (HOSTILE / f"{case}.txt").read_text(encoding="utf-8").rstrip("\n")


@pytest.mark.parametrize("case", CASES)
def test_each_fault_names_file_and_line_in_order_and_is_printable(case: str):
    rows = (HOSTILE / f"{case}.txt").read_text(encoding="utf-8").splitlines()
    found = [re.fullmatch(rf"{case}\.toml:(\d+): (.+)", row) for row in rows]
    lines = [int(match[1]) for match in found if match]
    assert len(lines) == len(rows)
    assert lines == sorted(lines)
    assert all(row.isprintable() for row in rows)


def test_a_spec_is_loaded_from_a_file_with_the_lines_of_its_keys(tmp_path: Path):
    (tmp_path / "spec.toml").write_text(spec_text("[slo]\nttft_ms = 500"), encoding="utf-8")
    loaded, lines = load_with_lines(tmp_path / "spec.toml")
    assert loaded == loads(spec_text("[slo]\nttft_ms = 500"))
    assert loaded.model.name == "llama-3.1-8b"
    assert loaded.pools[0].device.name == "h100-sxm-80gb"
    assert loaded.slo.ttft_ms == 500.0
    assert lines.line(("slo", "ttft_ms")) == 14


@pytest.mark.parametrize(
    "data",
    [
        b"\xef\xbb\xbf" + spec_text().encode(),
        spec_text().replace("\n", "\r\n").encode(),
        spec_text().rstrip().encode(),
    ],
    ids=["byte-order mark", "carriage returns", "no newline at the end"],
)
def test_a_text_file_of_another_system_is_the_same_spec(tmp_path: Path, data: bytes):
    (tmp_path / "spec.toml").write_bytes(data)
    assert load_with_lines(str(tmp_path / "spec.toml"))[0] == spec()


def test_a_spec_survives_json():
    whole = spec(
        '[quantization]\nweights = ["bf16", { name = "mine", bits = 5, compute = "activation", '
        'applies_to = "linear" }]\nkv_cache = "fp8"',
        "[slo]\nttft_ms = { p99 = 1000 }\ntpot_ms = 50",
        "[parallelism]\ntensor = [1, 2]\npipeline = 1",
        '[workload.sessions]\nturns = { distribution = "empirical", values = [1, 2] }',
        model='[model]\nname = "deepseek-v3"',
    )
    assert loads_json(whole.model_dump_json()) == whole
    assert loads_json(json.dumps(whole.model_dump(mode="json"))) == whole


def test_json_that_is_no_spec_is_refused_with_all_its_faults():
    whole = spec().model_copy(update={"pools": spec().pools * 2})
    with pytest.raises(SpecError) as caught:
        loads_json(whole.model_dump_json())
    assert str(caught.value) == 'pools[1].name: is the same as pools[0].name, the string "a"'
    with pytest.raises(SpecError) as caught:
        loads_json('{"model": 3, "pools": [], "workload": {"arrival": "closed"}, "x": 1}')
    assert str(caught.value).splitlines() == [
        "model: must be a table with the name of a model of the catalogue, `[model]`, got 3",
        "pools: must not be empty; write a list of tables",
        f"x: unknown key; the keys here are {', '.join(f'`{key}`' for key in Spec.model_fields)}",
    ]
    with pytest.raises(SpecError) as caught:
        loads_json("[]")
    assert str(caught.value) == "must be a table, got an empty list"
    with pytest.raises(SpecError) as caught:
        loads_json("{")
    assert str(caught.value).startswith("not a spec: ")


def test_a_message_names_the_text_as_the_caller_does():
    with pytest.raises(SpecError) as caught:
        loads("a = ", name="mine.toml")
    assert str(caught.value) == (
        'mine.toml:1: not a value of TOML; strings stand in quotes: key = "value"'
    )


def test_a_file_name_cannot_upset_the_terminal():
    with pytest.raises(SpecError) as caught:
        loads("a = ", name="\x1b[2Jmine.toml")
    assert str(caught.value).startswith(r"\u001b[2Jmine.toml:1: ")


def test_what_cannot_be_read_is_named(tmp_path: Path):
    (tmp_path / "loop").symlink_to("loop")
    os.mkfifo(tmp_path / "pipe")
    for name, why in [
        ("none.toml", "no such file"),
        (".", "a folder, not a file"),
        ("loop", "too many levels of symbolic links"),
        ("pipe", "a pipe, not a regular file"),
    ]:
        with pytest.raises(SpecError) as caught:
            load(tmp_path / name)
        assert str(caught.value) == f"{tmp_path / name}: {why}"


def test_a_spec_of_more_than_4_mib_is_refused_unread(tmp_path: Path):
    path = tmp_path / "spec.toml"
    path.write_bytes(b"#" * (4 * 2**20 - len(spec_text()) - 1) + b"\n" + spec_text().encode())
    assert load_with_lines(path)[0] == spec()
    path.write_bytes(b"#" * (4 * 2**20 + 1))
    with pytest.raises(SpecError) as caught:
        load(path)
    assert str(caught.value) == f"{path}: larger than 4 MiB, this cannot be the right file"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("a = " + "[" * 10**6, DEEP),
        (".".join("a" * 10**6) + " = 1", DEEP),
        ("a = 0x" + "f" * 10**6, "a value of more than 1,000 characters without quotes"),
        ("a = 9" + "1" * 10**6, "a value of more than 1,000 characters without quotes"),
        ("a = [" + "1," * 10**6 + "]", "more than 250,000 values"),
    ],
    ids=["arrays", "dotted key", "hexadecimal", "digits", "values"],
)
def test_a_text_that_is_costly_to_parse_is_refused_unparsed(text: str, why: str):
    with pytest.raises(SpecError) as caught:
        loads(text)
    assert str(caught.value) == f"spec.toml:1: {why}"


def test_a_million_keys_are_refused_at_the_first_too_many():
    with pytest.raises(SpecError) as caught:
        loads("\n".join(f"k{i}=1" for i in range(10**6)))
    assert str(caught.value) == "spec.toml:10001: more than 10,000 keys; a spec has a few dozen"


def test_of_thousands_of_faults_the_first_are_told_and_the_rest_is_counted():
    values = ", ".join(['"x"'] * 20_000)
    length = f'{{ distribution = "empirical", values = [{values}] }}'
    told = faults(workload=TABLES["workload"].replace("512", length))
    why = 'must be a whole number of 1 or more, got the string "x"'
    assert len(told) == 1_001
    assert told[0] == f"workload.prompt_tokens.values[0]: {why}"
    assert told[-1] == "and 19,000 more faults"


# Whatever is done to a text, the loader either takes it or says why not.

LINES = spec_text(
    "[quantization]\nweights = ['fp8', 'bf16']",
    "[slo]\nttft_ms = { p99 = 1000 }\ntpot_ms = 50",
    "[parallelism]\ntensor = [1, 2]",
).splitlines()
PIECES = [
    *("", "{}", "[]", "-1", "0", "nan", "1e400", "9" * 30, "true", "'x'", "[1, 'a']", "{ a = 1 }"),
    *("[", "]", '"', "'''", "=", ".", "#", "\\", "\x00", "\x1b", "é", "2024-01-01", "\n"),
    *("[[pools]]", "[slo]"),
]


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, len(LINES) - 1), st.integers(0, 40), st.sampled_from(PIECES)),
        max_size=4,
    )
)
def test_a_damaged_spec_is_loaded_or_refused_and_nothing_else(damage: list[tuple[int, int, str]]):
    lines = list(LINES)
    for number, column, piece in damage:
        left, right = lines[number][:column], lines[number][column:]
        lines[number] = left + piece if "=" in left else piece + right
    try:
        loads("\n".join(lines))
    except SpecError as e:
        rows = str(e).splitlines()
        assert all(re.match(r"spec\.toml:\d+: .", row) and row.isprintable() for row in rows)
        assert rows


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=60))
def test_a_text_that_is_no_spec_is_refused(text: str):
    with pytest.raises(SpecError):
        loads(text)


def test_what_is_not_built_is_refused_only_when_asked():
    text = spec_text('[search]\nexecutor = "ray"')
    wanted = loads(text)
    expected = [
        ("search.executor", 'not modelled yet; write `executor = "local"`'),
    ]
    with pytest.raises(NotBuiltError) as caught:
        require_built(wanted)
    assert str(caught.value) == "\n".join(f"{key}: {why}" for key, why in expected)


def test_what_is_built_is_not_refused():
    require_built(spec())


def test_what_is_not_built_is_refused_by_line(tmp_path: Path):
    path = tmp_path / "spec.toml"
    path.write_text(spec_text('[search]\nexecutor = "ray"'), encoding="utf-8")
    with pytest.raises(NotBuiltError) as caught:
        require_built(*load_with_lines(path))
    assert str(caught.value) == (
        f'{path}:14: search.executor: not modelled yet; write `executor = "local"`'
    )


def test_the_parser_says_what_our_words_replace():
    """Our words for syntax faults hang on the parser's: this fails where it changes them."""
    for text, message in [
        ("a = 1\na = 2\n", "Cannot overwrite a value"),
        ("[a]\n[a]\n", "Cannot declare"),
        ("a = {}\na.b = 1\n", "Cannot mutate immutable"),
        ("[a.b]\n[a]\nb.c = 1\n", "Cannot redefine namespace"),
        ("a = { b = 1, b = 2 }\n", "Duplicate inline table key"),
        ('a = "b\n"', "Illegal character '\\n'"),
        ("a = 'b\n'", "Found invalid character '\\n'"),
        ("a = b\n", "Invalid value"),
    ]:
        with pytest.raises(tomli.TOMLDecodeError, match=re.escape(message)):
            tomli.loads(text)
