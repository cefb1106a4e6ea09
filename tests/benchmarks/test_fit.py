import json
from dataclasses import replace

import pytest
from typer.testing import CliRunner

from apex_opt.spec import catalog
from benchmarks.fidelity.__main__ import app
from benchmarks.fidelity.case import parse
from benchmarks.fidelity.clients import LATE_MS
from benchmarks.fidelity.fit import UNITS, fitted, of_release, score, shipped
from benchmarks.fidelity.predict import play
from benchmarks.fidelity.search import descend
from benchmarks.fidelity.setup import prepare, with_overheads

RELEASE = catalog.release("vllm", "0.15.1")
TRUE = RELEASE.overheads.model_copy(
    update={"step_us": 900.0, "request_ms": 12.0, "sync_us": 0.0, "host_layer_us": 0.0}
)


def record(model, clients, measured):
    loop = {"arrival": "closed", "concurrency": clients, "prompt_tokens": 200, "output_tokens": 40}
    return {
        "id": f"{model} {clients}",
        "engine": {"name": "vllm", "version": "0.15.1"},
        "device": "h100-sxm-80gb",
        "model": model,
        "parallel": {"tensor": 1},
        "weights": "bf16",
        "workload": loop,
        "measured": measured,
    }


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    """Return runs as an engine with overheads `TRUE` shows them."""
    folder = tmp_path_factory.mktemp("runs")
    found = []
    for model in ("llama-3.1-8b", "qwen3-8b"):
        for clients in (1, 8):
            one = parse(record(model, clients, {}), folder)
            run = prepare(one)
            values, _ = play(one, replace(run, part=with_overheads(run.part, TRUE)))
            means = {key: {"mean": values[key]["mean"]} for key in ("ttft_ms", "tpot_ms")}
            found.append(record(model, clients, means))
    return found


@pytest.fixture
def runs(records, tmp_path):
    return of_release([parse(one, tmp_path) for one in records], RELEASE, "vllm")


def test_true_overheads_have_no_error(runs):
    found = score(runs, TRUE)
    assert (found.runs, found.ttft, found.tpot) == (4, 0.0, 0.0)


def test_the_fit_finds_the_overheads_that_made_the_runs(runs):
    best, found = fitted(runs, RELEASE.overheads)
    assert found.ttft + found.tpot < 3.0 < score(runs, RELEASE.overheads).ttft
    assert best.step_us == pytest.approx(TRUE.step_us, rel=0.05)
    assert best.request_ms == pytest.approx(TRUE.request_ms, rel=0.1)


def test_a_fit_starts_where_clients_of_closed_loops_are_late(tmp_path):
    release = catalog.release("sglang", "0.5.9")
    late = record("llama-3.1-8b", 1, {"ttft_ms": {"mean": 1.0}, "tpot_ms": {"mean": 1.0}})
    late["engine"] = {"name": "sglang", "version": "0.5.9"}
    runs = of_release([parse(late, tmp_path)], release, "sglang")
    total_ms = release.overheads.request_ms + LATE_MS["sglang", "0.5"]
    assert shipped(runs) == release.overheads.model_copy(update={"request_ms": total_ms})


def test_runs_of_other_releases_do_not_count(records, tmp_path):
    other = catalog.release("vllm", "0.6.0")
    assert of_release([parse(one, tmp_path) for one in records], other, "vllm") == []


def test_a_descent_ends_where_no_step_helps():
    best = descend(lambda p: abs(p["x"] - 3.0) + abs(p["y"]), {"x": 1.0, "y": 5.0}, UNITS_XY)
    assert best["x"] == pytest.approx(3.0, rel=0.1)
    assert best["y"] == 0.0


UNITS_XY = {"x": 1.0, "y": 1.0}


def test_a_number_that_is_not_searched_stays():
    best = descend(lambda p: p["x"] + p["z"], {"x": 1.0, "z": 2.0}, {"x": 1.0})
    assert best == {"x": 0.0, "z": 2.0}


def test_the_command_fits_and_scores_what_was_left_out(records, tmp_path):
    (tmp_path / "runs.jsonl").write_text("".join(f"{json.dumps(one)}\n" for one in records))
    told = CliRunner().invoke(
        app, [str(tmp_path), "--fit", "vllm:0.15.1", "--leave-out", "model", "--every", "2"]
    )
    assert told.exit_code == 0
    shipped, after, numbers, first, second = told.stdout.splitlines()
    assert (shipped[:10], after[:6]) == ("as shipped", "fitted")
    assert [part.split(" = ")[0] for part in numbers.split("  ")] == list(UNITS)
    assert [one.split()[1] for one in (first, second)] == ["llama-3.1-8b", "qwen3-8b"]


def test_a_release_without_runs_is_told(tmp_path):
    told = CliRunner().invoke(app, [str(tmp_path), "--fit", "sglang:0.5"])
    assert told.exit_code == 2
    assert told.stderr == "error: no case of sglang 0.5 can be predicted\n"
