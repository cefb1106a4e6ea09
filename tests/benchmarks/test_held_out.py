import json

import pytest
from typer.testing import CliRunner

from apex_opt.spec import catalog
from benchmarks.fidelity import held_out
from benchmarks.fidelity.__main__ import app
from benchmarks.fidelity.case import parse
from benchmarks.fidelity.fit import UNITS
from tests.benchmarks.test_fit import record


@pytest.fixture
def cases(records, tmp_path):
    return [parse(one, tmp_path) for one in records]


def test_models_of_one_shape_are_left_out_together(tmp_path):
    def shape(model):
        return held_out.shape(parse(record(model, 1, {}), tmp_path))

    assert shape("deepseek-ai/DeepSeek-R1") == shape("deepseek-v3") == shape("deepseek-r1-nvfp4")
    assert shape("llama-3.1-8b") != shape("qwen3-8b")


def test_what_a_fit_to_the_other_model_predicts_is_near_what_was_measured(cases):
    found = held_out.outcomes(cases, "model", 1)
    assert list(found) == ["vllm 0.14 llama-3.1-8b", "vllm 0.14 qwen3-8b"]
    for rows in found.values():
        assert max(abs(row.error("tpot_ms")) for row in rows) < 10


def test_a_model_alone_in_its_release_is_predicted_by_other_releases(records, tmp_path):
    *first, second, third = records
    newer = [one | {"engine": {"name": "vllm", "version": "0.19"}} for one in (second, third)]
    found = held_out.outcomes([parse(one, tmp_path) for one in [*first, *newer]], "model", 1)
    assert list(found) == [
        "vllm 0.14 llama-3.1-8b, by other releases",
        "vllm 0.19 qwen3-8b, by other releases",
    ]


def test_a_model_alone_is_predicted_with_round_numbers(cases, tmp_path):
    ((name, (row, _)),) = held_out.outcomes(cases[:2], "model", 1).items()
    assert name == "vllm 0.14 llama-3.1-8b, by round numbers"
    used = row.shape.release.overheads
    assert used == catalog.release("vllm", "0.15.1").overheads.model_copy(update=UNITS)


def test_runs_that_cannot_start_are_counted_and_those_set_apart_are_not(records, tmp_path):
    big = records[0] | {"id": "big", "model": "llama-3.1-405b"}
    apart = records[0] | {"overload": True}
    found = held_out.outcomes([parse(one, tmp_path) for one in (big, apart)], "model", 1)
    assert {name: [row.case.name for row in rows] for name, rows in found.items()} == {
        "not predicted": ["big"]
    }


def test_a_band_is_that_of_a_model_that_was_never_run(records, tmp_path):
    run = records[0] | {"model": "codellama-34b", "parallel": {"tensor": 2}}
    ((row,),) = held_out.outcomes([parse(run, tmp_path)], "model", 1).values()
    known = catalog.release("vllm", "0.15.1").validation
    assert known.models["codellama-34b"].tpot < known.dense.tpot
    assert row.band["tpot_ms"][1] == pytest.approx(1 + known.dense.tpot, rel=0.01)


@pytest.mark.parametrize("part", ["device", "group", "tensor"])
def test_devices_groups_and_degrees_can_be_left_out_too(cases, part):
    found = held_out.outcomes(cases, part, 1)
    assert sum(map(len, found.values())) == 4


def test_the_command_prints_a_line_a_model_and_a_summary(records, tmp_path):
    (tmp_path / "runs.jsonl").write_text("".join(f"{json.dumps(one)}\n" for one in records))
    told = CliRunner().invoke(app, [str(tmp_path), "--held-out", "model", "--every", "2"])
    assert told.exit_code == 0
    title, _, one, other, whole, _, last = told.stdout.splitlines()
    assert title == "runs.jsonl: errors in percent, each model by fits that did not see it"
    assert [line.split()[2] for line in (one, other)] == ["llama-3.1-8b", "qwen3-8b"]
    assert whole.startswith("all ")
    assert json.loads(last)["cases"] == 4
