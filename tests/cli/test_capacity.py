import json
from pathlib import Path

import pytest

from apex_opt.plan.capacity_result import Capacity
from tests.small_specs import text

QUICK = ("--tensor", 1, "--replicas", 1, "--seeds", 2, "--tolerance", 0.05, "-q")


def write(**tables):
    Path("spec.toml").write_text(text(**tables), encoding="utf-8")
    return "spec.toml"


def test_the_limit_is_printed_with_its_interval(run):
    status, out, err = run("capacity", write(slo="tpot_ms = { p99 = 12 }"), *QUICK)
    assert (status, err) == (0, "")
    first, second = out.splitlines()[:2]
    assert first.startswith("1 x h100 TP1 bf16: ")
    assert first.endswith(" requests/s")
    assert second.endswith(" with 95 % confidence, 2 seeds; each within 5.0 %")


def test_json_on_stdout_is_the_result_and_nothing_else(run):
    spec = write(slo="tpot_ms = { p99 = 12 }")
    status, out, _ = run("capacity", spec, *QUICK, "--json", "-")
    found = Capacity.model_validate_json(out)
    assert status == 0
    assert json.loads(out)["rate_rps"] == found.rate_rps > 0
    assert [one.seed for one in found.seeds] == [0, 1]
    status, out, _ = run("capacity", spec, *QUICK, "--json", "-", "--seed", 7)
    assert [one["seed"] for one in json.loads(out)["seeds"]] == [7, 8]


def test_a_plan_of_a_file_has_a_capacity_too(run):
    spec = write(slo="tpot_ms = { p99 = 12 }")
    assert (
        run("simulate", spec, "--tensor", 2, "--replicas", 1, "-q", "--json", "PLAN.json")[0] == 0
    )
    asked = ("--seeds", 1, "--tolerance", 0.1, "-q", "--json", "-")
    status, out, _ = run("capacity", spec, "--plan", "PLAN.json", *asked)
    assert (status, json.loads(out)["plan"]) == (0, "1 x h100 TP2 bf16")


def test_a_spec_without_levels_has_no_capacity(run):
    status, out, err = run("capacity", write(slo=""), *QUICK)
    assert (status, out) == (2, "")
    assert err == (
        "error: slo: capacity is how much keeps the service levels, and the spec has none; write "
        "for example `ttft_ms = { p99 = 1000 }` under [slo]\n"
    )


@pytest.mark.parametrize("option", ["--seeds", "--tolerance"])
def test_an_accuracy_that_cannot_be_has_status_2(run, option):
    status, _, err = run("capacity", write(), option, 0)
    assert status == 2
    assert f"Invalid value for '{option}'" in err


def test_a_target_that_cannot_be_written_is_told_before_the_search(run, monkeypatch):
    def late(*_, **__):
        raise AssertionError("too late")

    monkeypatch.setattr("apex_opt.api.capacity", late)
    status, _, err = run("capacity", write(), "-q", "--json", "missing/result.json")
    assert err == "error: missing/result.json: cannot be written: No such file or directory\n"
    assert status == 2
