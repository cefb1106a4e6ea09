import json

import pytest
import typer
from typer.testing import CliRunner

from apex_opt.cli.catalog import catalog
from apex_opt.errors import CallError
from apex_opt.spec import catalog as shelves
from apex_opt.spec.parameters import parameters

app = typer.Typer()
app.command()(catalog)


def run(*words, columns=80):
    result = CliRunner().invoke(app, words, env={"COLUMNS": str(columns), "NO_COLOR": "1"})
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0
    return result.stdout


def squeezed(*words):
    return [" ".join(line.split()) for line in run(*words).splitlines()]


def test_without_a_kind_the_kinds_are_counted():
    assert json.loads(run("--json")) == {kind: len(shelves.names(kind)) for kind in shelves.KINDS}
    for kind in shelves.KINDS:
        assert f"{kind} {len(shelves.names(kind))}" in squeezed()


@pytest.mark.parametrize("columns", [80, 120])
@pytest.mark.parametrize("kind", shelves.KINDS)
def test_each_entry_of_a_kind_has_one_line_that_fits_the_terminal(kind, columns):
    lines = run(kind, columns=columns).splitlines()
    assert max(map(len, lines)) <= columns
    assert [line.split()[0] for line in lines[3:-2]] == shelves.names(kind)


@pytest.mark.parametrize("kind", shelves.KINDS)
def test_json_holds_each_entry_of_a_kind(kind):
    assert [row["name"] for row in json.loads(run(kind, "--json"))] == shelves.names(kind)


def test_a_model_is_shown_with_the_numbers_that_matter():
    lines = squeezed("models")
    assert "kimi-k2 1.03 T 32.9 B 61 MLA 128k" in lines
    assert "gpt-oss-120b 117 B 5.75 B 36 GQA 64/8 w128 128k" in lines
    assert "qwen3-next-80b-a3b 79.7 B 3.87 B 48 linear+GQA 16/2 256k" in lines


def test_a_device_is_shown_with_the_numbers_that_matter():
    lines = squeezed("devices")
    assert "h100-sxm-80gb 79.6 3,350 989.4 1,979 700 2.95 450" in lines
    assert "t4 15 320 - - 70 0.53 16" in lines


@pytest.mark.parametrize(
    ("word", "kind"),
    [
        ("model", "models"),
        ("Models", "models"),
        ("device", "devices"),
        ("gpus", "devices"),
        ("weight", "weights"),
        ("kv", "kv-cache"),
        ("kv_cache", "kv-cache"),
        ("engine", "engines"),
    ],
)
def test_singular_and_plural_name_the_same_kind(word, kind):
    assert run(word, "--json") == run(kind, "--json")


@pytest.mark.parametrize("columns", [80, 120])
@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("models", "t5-11b"),
        ("devices", "H100"),
        ("weights", "fp8"),
        ("kv", "int8"),
        ("engine", "vllm"),
    ],
)
def test_one_entry_is_shown_in_full(kind, name, columns):
    printed = run(kind, name, columns=columns)
    assert max(map(len, printed.splitlines())) <= columns
    entry = json.loads(run(kind, name, "--json"))
    keys = {line.split()[0] for line in printed.splitlines() if line.strip()}
    assert {key for key, value in entry.items() if value not in ("", [])} <= keys


def test_a_model_in_full_has_its_counted_parameters():
    model = shelves.model("deepseek-v3")
    entry = json.loads(run("model", "deepseek-ai/DeepSeek-V3", "--json"))
    assert entry["parameters"]["total"] == parameters(model).total
    assert entry["parameters"]["kinds"]["moe"]["experts"] == 256 * 3 * 7168 * 2048
    assert "671 B, exactly 671,026,419,200" in run("model", "deepseek-v3")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["modles"], "unknown kind `modles`; did you mean `models`?"),
        (["devise"], "unknown kind `devise`; did you mean `devices`?"),
        (["phi-4"], "unknown kind `phi-4`; did you mean `apexopt catalog models phi-4`?"),
        (["H100"], "unknown kind `H100`; did you mean `apexopt catalog devices H100`?"),
        (["?"], "unknown kind `?`; known are models, devices, weights, kv-cache, engines"),
        (["device", "h1000"], "unknown device `h1000`; did you mean `h100-sxm-80gb`?"),
    ],
)
def test_a_wrong_word_is_answered_with_the_nearest_right_one(words, message):
    with pytest.raises(CallError) as fault:
        run(*words)
    assert str(fault.value) == message
