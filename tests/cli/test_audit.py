import json
from pathlib import Path

import apex_opt
from apex_opt.auditing.result import Audit
from tests.small_specs import text


def write(**tables):
    Path("spec.toml").write_text(text(parallelism="max_stages = 1", **tables), encoding="utf-8")
    return "spec.toml"


def test_an_infeasible_spec_has_status_3_and_its_story_names_the_line(run):
    status, out, err = run("audit", write(limits="budget_per_hour = 1"), "-q")
    assert (status, err) == (3, "")
    assert out.splitlines()[0] == "no plan meets the spec: a conflict"
    assert "Conflict: budget" in out
    line = Path("spec.toml").read_text(encoding="utf-8").splitlines().index("budget_per_hour = 1")
    assert f"spec.toml:{line + 1}" in out
    assert "`limits.budget_per_hour` 1 USD/h -> 2.95 USD/h" in out


def test_a_feasible_spec_has_status_0_and_says_what_binds(run):
    status, out, err = run("audit", write(quantization='weights = "bf16"'), "-q")
    assert (status, err) == (0, "")
    assert out.startswith("the spec can be met; proved optimal for this traffic and seed")
    assert "What binds, and what it costs" in out


def test_json_on_stdout_is_the_audit_and_nothing_else(run):
    status, out, _ = run("audit", write(limits="budget_per_hour = 1"), "-q", "--json", "-")
    found = Audit.model_validate_json(out)
    assert status == 3
    assert found.schema_version == 1
    assert found.conflict is not None
    assert found.conflict.code == "budget"
    assert json.loads(out)["conflicts"][0]["entries"][0]["key"] == "limits.budget_per_hour"


def test_no_plan_and_no_proof_in_the_time_has_status_4(run):
    status, out, _ = run("audit", write(), "-q", "--time-limit", "0.001")
    assert status == 4
    assert out.startswith("not proved: no plan was found among 0 simulated, and none is excluded")


def test_an_unknown_device_is_a_wrong_spec_not_an_infeasible_one(run):
    pools = 'name = "p"\ndevice = "h1000"'
    status, out, err = run("audit", write(pools=pools), "-q")
    assert (status, out) == (2, "")
    assert "unknown device" in err


def test_a_target_that_cannot_be_written_has_status_2(run):
    status, _, err = run("audit", write(), "-q", "--json", "missing/audit.json")
    assert status == 2
    assert err == "error: missing/audit.json: cannot be written: No such file or directory\n"


def test_solve_explains_on_stderr_why_there_is_no_plan(run):
    spec = write(limits="budget_per_hour = 1")
    status, out, err = run("solve", spec, "-q", "--explain")
    assert (status, out) == (3, "")
    assert err.startswith("error: no plan meets the spec")
    assert "Conflict: budget" in err
    assert "Conflict" not in run("solve", spec, "-q")[2]


def test_what_solve_proved_is_explained_with_the_time_that_it_had(run, monkeypatch):
    given, audit = [], apex_opt.api.audit

    def heard(spec, **options):
        given.append(options["time_limit_s"])
        return audit(spec, **options)

    monkeypatch.setattr(apex_opt.api, "audit", heard)
    spec = write(limits="budget_per_hour = 1")
    run("solve", spec, "-q", "--explain")
    run("solve", spec, "-q", "--explain", "--time-limit", "50")
    assert given == [300, 50]


def test_the_api_answers_with_the_same_audit(run):
    found = apex_opt.audit(apex_opt.load(write(limits="budget_per_hour = 1")))
    assert (found.status, found.conflict.code) == ("infeasible", "budget")
    assert [r.text for r in found.relaxations] == ["`limits.budget_per_hour` 1 USD/h -> 2.95 USD/h"]
