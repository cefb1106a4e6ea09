import json

import pytest
from typer.testing import CliRunner

from apex_opt.spec import catalog
from benchmarks.fidelity.__main__ import app
from benchmarks.fidelity.case import parse
from benchmarks.fidelity.clients import LATE_MS
from benchmarks.fidelity.fit import (
    NO_OVERHEADS,
    UNITS,
    V0_UNITS,
    by_release,
    fitted,
    fitted_release,
    score,
)
from benchmarks.fidelity.search import descend

RELEASE = catalog.release("vllm", "0.15.1")
TRUE = {"step_us": 900.0, "request_ms": 12.0, "sync_us": 0.0, "host_layer_us": 0.0}


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


@pytest.fixture
def runs(records, tmp_path):
    return trials(records, tmp_path)


def trials(records, folder):
    cases = [parse(one, folder) for one in records]
    return by_release(cases, 1)["vllm"][RELEASE.version]


def test_true_overheads_have_no_error(runs):
    found = score(runs, TRUE)
    assert (found.runs, found.ttft, found.tpot) == (4, 0.0, 0.0)


def test_the_fit_finds_the_overheads_that_made_the_runs(runs):
    shipped = runs[0].shipped(UNITS)
    best = fitted(runs, shipped, UNITS)
    found = score(runs, best)
    assert found.ttft + found.tpot < 3.0 < score(runs, shipped).ttft
    assert best["step_us"] == pytest.approx(TRUE["step_us"], rel=0.05)
    assert best["request_ms"] == pytest.approx(TRUE["request_ms"], rel=0.1)


def test_a_number_of_which_runs_do_not_tell_stays_where_the_fit_begins(runs):
    best = fitted_release(RELEASE, {RELEASE.version: runs})
    # No model has experts, no replica has two devices.
    assert best["expert_visit_ns"] == UNITS["expert_visit_ns"]
    assert best["sync_us"] == UNITS["sync_us"]
    assert best["step_us"] == pytest.approx(TRUE["step_us"], rel=0.2)


def test_a_release_without_runs_is_told_by_the_others_of_its_engine(runs):
    other = catalog.release("vllm", "0.8")
    best = fitted_release(other, {RELEASE.version: runs})
    assert best["step_us"] == pytest.approx(TRUE["step_us"], rel=0.2)


def test_what_is_not_searched_is_as_the_release_of_a_run_has_it(records, tmp_path):
    older = records[0] | {"engine": {"name": "vllm", "version": "0.12.0"}}
    ((run,),) = by_release([parse(older, tmp_path)], 1)["vllm"].values()
    used = run.under({"step_us": 1.0}).part.candidate.shape.release.overheads
    assert (used.step_us, used.sequence_us) == (1.0, run.release.overheads.sequence_us)


def test_engines_that_schedule_otherwise_tell_nothing(runs):
    old = catalog.release("vllm", "0.6")
    assert fitted_release(old, {RELEASE.version: runs}) == V0_UNITS


def test_no_fit_learns_from_runs_that_are_far_faster_than_their_kernels(records, tmp_path):
    (run, *_) = trials(records, tmp_path)
    kernels_ms = run.means(NO_OVERHEADS)[1]
    for factor, believed in ((1.29, True), (1.31, False)):
        tpot = {"tpot_ms": {"mean": kernels_ms / factor}}
        (one,) = trials([records[0] | {"measured": records[0]["measured"] | tpot}], tmp_path)
        assert one.believed is believed


def test_a_fit_starts_where_clients_of_closed_loops_are_late(tmp_path):
    release = catalog.release("sglang", "0.5.9")
    late = record("llama-3.1-8b", 1, {"ttft_ms": {"mean": 1.0}, "tpot_ms": {"mean": 1.0}})
    late["engine"] = {"name": "sglang", "version": "0.5.9"}
    (run,) = by_release([parse(late, tmp_path)], 1)["sglang"][release.version]
    total_ms = release.overheads.request_ms + LATE_MS["sglang", "0.5"]
    assert run.shipped(["request_ms"]) == {"request_ms": total_ms}


def test_runs_that_are_set_apart_or_cannot_start_teach_nothing(records, tmp_path):
    apart = [records[0] | {"overload": True}, records[0] | {"model": "llama-3.1-405b"}]
    assert by_release([parse(one, tmp_path) for one in apart], 1) == {}


def test_a_descent_ends_where_no_step_helps():
    best = descend(lambda p: abs(p["x"] - 3.0) + abs(p["y"]), {"x": 1.0, "y": 5.0}, UNITS_XY)
    assert best["x"] == pytest.approx(3.0, rel=0.1)
    assert best["y"] == 0.0


UNITS_XY = {"x": 1.0, "y": 1.0}


def test_a_number_that_is_not_searched_stays():
    best = descend(lambda p: p["x"] + p["z"], {"x": 1.0, "z": 2.0}, {"x": 1.0})
    assert best == {"x": 0.0, "z": 2.0}


def test_the_command_fits_a_release(records, tmp_path):
    (tmp_path / "runs.jsonl").write_text("".join(f"{json.dumps(one)}\n" for one in records))
    told = CliRunner().invoke(app, [str(tmp_path), "--fit", "vllm:0.15.1", "--every", "2"])
    assert told.exit_code == 0
    shipped, after, numbers = told.stdout.splitlines()
    assert (shipped[:10], after[:6]) == ("as shipped", "fitted")
    assert [part.split(" = ")[0] for part in numbers.split("  ")] == list(UNITS)


def test_a_release_without_runs_is_told(records, tmp_path):
    (tmp_path / "runs.jsonl").write_text("".join(f"{json.dumps(one)}\n" for one in records))
    told = CliRunner().invoke(app, [str(tmp_path), "--fit", "sglang:0.5"])
    assert told.exit_code == 2
    assert told.stderr == "error: no case of sglang 0.5 can be predicted\n"
