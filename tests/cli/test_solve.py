import json
from pathlib import Path

import pytest

from apex_opt.cli.app import main
from apex_opt.plan.result import Result
from tests.small_specs import text


def write(**tables):
    Path("spec.toml").write_text(text(**tables), encoding="utf-8")
    return "spec.toml"


def test_a_plan_is_printed_and_status_is_0(run):
    status, out, err = run("solve", write(), "-q")
    assert status == 0
    assert out.splitlines()[0].startswith("1 x h100 TP")
    assert "proved optimal for this traffic and seed" in out
    assert err == ""


def test_json_on_stdout_is_the_result_and_nothing_else(run):
    status, out, _ = run("solve", write(), "-q", "--json", "-")
    result = Result.model_validate_json(out)
    assert status == 0
    assert result.schema_version == 1
    assert result.plans[0].cost_per_hour == result.plans[0].prediction.cost_per_hour


def test_out_holds_the_plan_and_the_report(run):
    status, out, _ = run("solve", write(), "-q", "--out", "there")
    assert status == 0
    assert Result.model_validate_json(Path("there/PLAN.json").read_text(encoding="utf-8"))
    report = Path("there/report.txt").read_text(encoding="utf-8")
    assert report.splitlines()[0] == out.splitlines()[0]


def test_options_override_the_spec(run):
    status, out, _ = run(
        "solve", write(), "-q", "--json", "-", "--top", 1, "--seed", 7, "--time-limit", 60
    )
    found = json.loads(out)
    assert (status, len(found["plans"]), found["seed"]) == (0, 1, 7)


def test_a_wrong_spec_is_told_line_by_line_and_status_is_2(run):
    status, out, err = run("solve", write(slo="ttft_s = 1"), "-q")
    assert (status, out) == (2, "")
    assert err.startswith("error: spec.toml:")
    assert "did you mean `ttft_ms`?" in err


def test_a_missing_spec_has_status_2(run):
    assert run("solve", "none.toml", "-q") == (2, "", "error: none.toml: no such file\n")


def test_what_is_not_built_is_named_with_its_line_and_status_is_2(run):
    status, _, err = run("solve", write(search='executor = "ray"'), "-q")
    assert status == 2
    assert err.startswith("error: spec.toml:")
    assert "not modelled yet" in err


def test_another_executor_is_not_built_or_none(run):
    assert run("solve", write(), "-q", "--executor", "x") == (
        2,
        "",
        "error: executor `x` is none; write `local`\n",
    )
    assert run("solve", write(), "-q", "--executor", "ray") == (
        2,
        "",
        "error: executor `ray` is not built yet; write `local`\n",
    )


def test_an_infeasible_spec_has_status_3(run):
    status, out, err = run("solve", write(slo="ttft_ms = { p99 = 1 }"), "-q")
    assert (status, out) == (3, "")
    assert err == (
        "error: no plan meets the spec, even with every request alone on idle devices: "
        "ttft_ms p99\n"
        "\n"
        "hint: `apexopt audit` says of a spec what cannot hold together, and what would help\n"
    )


def test_no_plan_in_the_time_given_has_status_4(run):
    status, out, err = run("solve", write(), "-q", "--time-limit", "0.001")
    assert (status, out) == (4, "")
    assert err.startswith("error: no plan was found in 0.001 s")


def test_a_file_that_cannot_be_written_has_status_2(run):
    status, _, err = run("solve", write(), "-q", "--json", "no/such/plan.json")
    assert status == 2
    assert err == "error: no/such/plan.json: cannot be written: No such file or directory\n"


def test_nothing_is_left_where_writing_fails(run, tmp_path):
    (tmp_path / "taken").mkdir()
    status, _, err = run("solve", write(), "-q", "--json", "taken")
    assert status == 2
    assert err == "error: taken: cannot be written: Is a directory\n"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["spec.toml", "taken"]


def test_a_wrong_option_has_status_2(run):
    status, _, err = run("solve", write(), "--top", "0")
    assert status == 2
    assert "Invalid value for '--top'" in err


def test_a_bug_of_ours_has_status_1_and_says_so(run, monkeypatch, capsys):
    def broken(*_, **__):
        raise RuntimeError("broken")

    monkeypatch.setattr("apex_opt.api.solve", broken)
    monkeypatch.setattr("sys.argv", ["apexopt", "solve", write(), "-q"])
    with pytest.raises(RuntimeError, match=r"^broken$"):
        main()
    assert "This is a bug of apexopt" in capsys.readouterr().err


def test_an_interrupt_has_status_130(run, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("apex_opt.api.solve", interrupted)
    assert run("solve", write(), "-q")[0] == 130


def test_the_version_is_told(run):
    status, out, _ = run("--version")
    assert (status, out) == (0, "apexopt 0.1.0\n")


def test_a_target_that_cannot_be_written_is_told_before_the_search(run, monkeypatch):
    def late(*_, **__):
        raise AssertionError("too late")

    monkeypatch.setattr("apex_opt.api.solve", late)
    status, _, err = run("solve", write(), "-q", "--json", "missing/result.json")
    assert err == "error: missing/result.json: cannot be written: No such file or directory\n"
    assert status == 2
