from pathlib import Path

from apex_opt.plan.pareto_result import Front
from tests.small_specs import text

SMALL = (
    'arrival = "poisson"\nrate_rps = 90.0\nrequests = 60\nprompt_tokens = 500\noutput_tokens = 40'
)


def write(**tables):
    chosen = {"workload": SMALL, "parallelism": "max_stages = 1", **tables}
    Path("spec.toml").write_text(text(**chosen), encoding="utf-8")
    return "spec.toml"


def test_a_front_is_printed_and_status_is_0(run):
    status, out, err = run("pareto", write(), "--x", "cost", "--y", "ttft_p99", "-q")
    assert (status, err) == (0, "")
    assert out.splitlines()[0] == "minimize cost (USD/h) against minimize ttft_p99 (ms)"
    assert "the whole front, proved for this traffic and seed" in out
    assert "Scatter" not in out  # no terminal


def test_json_on_stdout_is_the_front_and_nothing_else(run):
    call = ("pareto", write(), "--x", "cost", "--y", "latency", "--points", 2, "-q", "--json", "-")
    status, out, _ = run(*call, "--seed", 3)
    front = Front.model_validate_json(out)
    assert (status, front.schema_version, front.seed) == (0, 1, 3)
    assert front.points[0].x == front.points[0].plan.cost_per_hour
    assert 1 <= len(front.points) <= 2


def test_an_unknown_axis_has_status_2(run):
    status, out, err = run("pareto", write(), "--x", "cost", "--y", "speed", "-q")
    assert (status, out) == (2, "")
    assert err == (
        "error: no axis `speed`\naxes are cost, devices, energy, power, latency, goodput, "
        "throughput, and (ttft|tpot|itl|e2e)_(mean|p50|p90|p95|p99)\n"
    )


def test_an_infeasible_spec_has_status_3(run):
    spec = write(slo="ttft_ms = { p99 = 1 }")
    status, out, err = run("pareto", spec, "--x", "cost", "--y", "latency", "-q")
    assert (status, out) == (3, "")
    assert err == (
        "error: no plan meets the spec, even with every request alone on idle devices: "
        "ttft_ms p99\n"
        "\n"
        "hint: `apexopt audit` says of a spec what cannot hold together, and what would help\n"
    )


def test_no_plan_in_the_time_given_has_status_4(run):
    call = ("pareto", write(), "--x", "cost", "--y", "latency", "-q", "--time-limit", "0.001")
    status, out, err = run(*call)
    assert (status, out) == (4, "")
    assert err.startswith("error: no plan was found in 0.001 s")


def test_a_target_that_cannot_be_written_is_told_before_the_search(run, monkeypatch):
    def late(*_, **__):
        raise AssertionError("too late")

    monkeypatch.setattr("apex_opt.api.pareto", late)
    call = ("pareto", write(), "--x", "cost", "--y", "latency", "--json", "missing/front.json")
    status, _, err = run(*call)
    assert err == "error: missing/front.json: cannot be written: No such file or directory\n"
    assert status == 2
