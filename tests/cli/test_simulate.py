import csv
import json
import re
from pathlib import Path

import pytest

from apex_opt.plan.result import Plan, Result
from tests.small_specs import text


def write(**tables):
    Path("spec.toml").write_text(text(**tables), encoding="utf-8")
    return "spec.toml"


def test_a_plan_file_replays_as_it_was_found(run):
    spec = write()
    assert run("solve", spec, "-q", "--json", "PLAN.json")[0] == 0
    found = Result.model_validate_json(Path("PLAN.json").read_text(encoding="utf-8"))
    for plan in found.plans:
        status, out, _ = run(
            *("simulate", spec, "--plan", "PLAN.json", "--rank", plan.rank),
            *("-q", "--json", "-", "--timeline", 0),
        )
        assert status == 0
        assert json.loads(out) == json.loads(plan.model_copy(update={"rank": 1}).model_dump_json())


def test_a_plan_by_hand_is_simulated_whether_or_not_it_meets_the_spec(run):
    status, out, _ = run(
        "simulate", write(slo="ttft_ms = { p99 = 1 }"), "--tensor", 2, "--replicas", 2, "-q"
    )
    assert status == 0
    assert out.splitlines()[0].startswith("2 x h100 TP2 bf16")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--pool", "x"], "pool `x` is not in the spec; its pools: `h100`"),
        (["--tensor", "3"], "this plan cannot be started: 32 query heads do not divide by"),
        (["--tensor", "4", "--replicas", "2"], "--replicas 2: 8 devices are more than pool"),
        (
            ["--pipeline", "99"],
            "this plan cannot be started: pipeline = 99 is more than the model's 32 layers",
        ),
        (["--tensor", "4", "--expert", "2"], "this plan cannot be started: expert = 2 is neither"),
        (["--weights", "fp9"], "unknown"),
        (["--kv-cache", "fp9"], "unknown"),
        (["--plan", "none.json"], "none.json: no such file"),
        (["--plan", "spec.toml"], "spec.toml: the file: Invalid JSON"),
        (["--plan", "x.json", "--tensor", "2"], "--plan names the whole plan"),
        (["--plan", "x.json", "--decode", "tensor=2"], "--plan names the whole plan"),
        (["--prefill", "tensor=1"], "--prefill and --decode need each other\n"),
        (
            ["--prefill", "tensor=1", "--decode", "tensor=1", "--tensor", "2"],
            "--prefill and --decode name the whole plan; leave out --tensor and so on\n",
        ),
        (
            ["--prefill", "tensor=2", "--decode", "tensor=4"],
            "the plan takes 6 devices of pool `h100`, which has 4\n",
        ),
        (
            ["--prefill", "tensor=1", "--decode", "tensor=1,kv_cache=fp8"],
            (
                "prefill keeps a bf16 cache, decode a fp8 one; a cache moves as it is: write the "
                "same `kv_cache` for both\n"
            ),
        ),
        (
            ["--attention-data", "2"],
            "this plan cannot be started: attention_data = 2 needs a mixture of experts to share\n",
        ),
        (
            ["--tensor", "4", "--context", "2"],
            (
                "this plan cannot be started: context = 2 is more than the copies of 8 key-value "
                "heads: tensor = 4 has 1 of each\n"
            ),
        ),
        (["--requests", "r.txt"], "--requests r.txt: the name must end in .csv or .parquet\n"),
        (
            ["--requests", "r.csv", "--json", "r.csv"],
            "the plan and its requests cannot both go to r.csv\n",
        ),
        (
            ["--requests", "./r.csv", "--json", "r.csv"],
            "the plan and its requests cannot both go to r.csv\n",
        ),
        (["--rank", "2"], "--rank 2 is of the plans in a file; name it with --plan\n"),
        (
            ["--tensor", "8"],
            "this plan cannot be started: 8 devices a replica are more than the 4 of pool `h100`\n",
        ),
        (
            ["--requests", "no/r.csv"],
            "no/r.csv: cannot be written: No such file or directory\n",
        ),
        (
            ["--router", "least_outstandig"],
            (
                "--router: unknown `least_outstandig`; known are round_robin, random, "
                'least_outstanding, least_kv, prefix_affinity; did you mean "least_outstanding"?\n'
            ),
        ),
    ],
)
def test_a_plan_that_cannot_be_played_is_a_wrong_call(run, options, message):
    status, out, err = run("simulate", write(), "-q", *options)
    assert (status, out) == (2, "")
    assert err.startswith(f"error: {message}")


def test_a_rank_that_the_file_lacks_is_a_wrong_call(run):
    spec = write()
    run("solve", spec, "-q", "--json", "PLAN.json", "--top", 1)
    status, _, err = run("simulate", spec, "--plan", "PLAN.json", "--rank", 9, "-q")
    assert (status, err) == (2, "error: PLAN.json: holds plans 1 to 1, not 9\n")


PLAN = {}
"""A plan of `solve`, found once."""


@pytest.mark.parametrize(
    ("keys", "value", "message"),
    [
        (
            ("count",),
            0,
            (
                "PLAN.json: plans.0.deployments.0.count: Input should be greater than or equal "
                "to 1; write it with `apexopt solve`"
            ),
        ),
        (
            ("weight",),
            10**30,
            (
                "PLAN.json: plans.0.deployments.0.weight: Input should be less than or equal to "
                "1000000000; write it with `apexopt solve`"
            ),
        ),
        (("weight",), 0, "the plan's mixed deployments all have `weight` 0: nobody serves"),
        (
            ("replica", "tensor"),
            0,
            (
                "PLAN.json: plans.0.deployments.0.replica.tensor: Input should be greater than or "
                "equal to 1; write it with `apexopt solve`"
            ),
        ),
        (
            ("replica", "clock_mhz"),
            3000,
            "the plan's `clock_mhz` 3,000 is above the boost clock of `h100-sxm-80gb`, 1,830",
        ),
        (
            ("replica", "engine", "max_num_seqs"),
            0,
            "the plan's `engine.max_num_seqs`: Input should be greater than or equal to 1",
        ),
        (
            ("replica", "engine", "version"),
            "x",
            "`x` is no version of vllm; write one like `0.19`",
        ),
    ],
)
def test_a_plan_that_was_edited_by_hand_is_refused_with_the_key_that_is_wrong(
    run, keys, value, message
):
    spec = write()
    if not PLAN:
        PLAN.update(json.loads(run("solve", spec, "-q", "--json", "-", "--top", 1)[1]))
    edited = json.loads(json.dumps(PLAN))
    at = edited["plans"][0]["deployments"][0]
    for key in keys[:-1]:
        at = at[key]
    at[keys[-1]] = value
    Path("PLAN.json").write_text(json.dumps(edited), encoding="utf-8")
    status, out, err = run("simulate", spec, "--plan", "PLAN.json", "-q")
    assert (status, out, err) == (2, "", f"error: {message}\n")


def test_a_plan_that_turns_all_requests_down_is_simulated_too(run):
    spec = write()
    run("simulate", spec, "-q", "--json", "PLAN.json")
    edited = json.loads(Path("PLAN.json").read_text(encoding="utf-8"))
    edited["deployments"][0]["replica"]["engine"]["max_model_len"] = 16
    Path("PLAN.json").write_text(json.dumps(edited), encoding="utf-8")
    status, out, _ = run("simulate", spec, "--plan", "PLAN.json", "-q", "--json", "-")
    found = json.loads(out)
    assert (status, found["prediction"]["rejected"]) == (0, 200)
    assert {row["output_tokens_per_s"] for row in found["timeline"]} == {0.0}


def test_a_plan_for_another_cluster_is_a_wrong_call(run):
    run("solve", write(), "-q", "--json", "PLAN.json")
    pools = 'name = "other"\ndevice = "l40s"'
    status, _, err = run("simulate", write(pools=pools), "--plan", "PLAN.json", "-q")
    assert (status, err) == (2, "error: pool `h100` is not in the spec; its pools: `other`\n")


def test_a_plan_for_another_model_is_a_wrong_call(run):
    run("solve", write(), "-q", "--json", "PLAN.json")
    spec = write(model='name = "llama-3.1-70b"')
    status, _, err = run("simulate", spec, "--plan", "PLAN.json", "-q")
    assert (status, err) == (2, "error: the plan is for a model with another number of layers\n")


def test_a_timeline_has_at_most_as_many_rows_as_asked_and_500_by_default(run):
    spec = write()
    shown = {}
    for rows in (None, 40, 0):
        asked = [] if rows is None else ["--timeline", rows]
        status, out, _ = run("simulate", spec, "-q", "--json", "-", *asked)
        assert status == 0
        shown[rows] = json.loads(out)["timeline"]
    assert 250 <= len(shown[None]) <= 500
    assert 20 <= len(shown[40]) <= 40
    assert shown[0] == []
    assert set(shown[40][0]) == {
        *("time_s", "queue", "running", "kv_use", "power_w"),
        *("prompt_tokens_per_s", "output_tokens_per_s"),
    }


def test_every_request_has_a_row_and_its_figures_are_those_of_the_plan(run):
    status, out, _ = run("simulate", write(), "-q", "--requests", "r.csv", "--json", "-")
    assert status == 0
    plan = Plan.model_validate_json(out)
    with Path("r.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["request"] for row in rows] == [str(n) for n in range(200)]
    assert {row["status"] for row in rows} == {"done"}
    assert {row["replica"] for row in rows} == {"0"}
    mean = sum(float(row["ttft_ms"]) for row in rows) / len(rows)
    assert mean == pytest.approx(plan.prediction.ttft_ms.mean)


def test_the_table_of_requests_is_written_as_parquet_too(run):
    parquet = pytest.importorskip("pyarrow.parquet", reason="the extra `parquet` is not installed")
    assert run("simulate", write(), "-q", "--requests", "r.parquet")[0] == 0
    table = parquet.read_table("r.parquet")
    assert table.num_rows == 200
    assert table.column("met").to_pylist() == [True] * 200


def test_parquet_without_pyarrow_is_a_wrong_call(run, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    status, _, err = run("simulate", write(), "-q", "--requests", "r.parquet")
    assert (status, err) == (
        2,
        (
            "error: --requests r.parquet: Parquet needs pyarrow: pip install 'apexopt[parquet]', "
            "or name a .csv\n"
        ),
    )
    assert not Path("r.parquet").exists()


def test_prefill_and_decode_go_into_the_file_and_are_played_again_from_it(run):
    spec = write()
    roles = ["--prefill", "tensor=1,replicas=2", "--decode", "tensor=2"]
    assert run("simulate", spec, "-q", *roles, "--json", "PLAN.json")[0] == 0
    plan = Plan.model_validate_json(Path("PLAN.json").read_text(encoding="utf-8"))
    told = [(d.replica.role, d.count, d.share) for d in plan.deployments]
    assert told == [("prefill", 2, 1.0), ("decode", 1, 1.0)]
    assert plan.label == "2 x h100 TP1 bf16 prefill + 1 x h100 TP2 bf16 decode"
    status, out, _ = run("simulate", spec, "-q", "--plan", "PLAN.json", "--json", "-")
    assert (status, Plan.model_validate_json(out)) == (0, plan)


def test_roles_are_started_with_a_connector_for_their_caches(run):
    roles = ["--prefill", "tensor=1", "--decode", "tensor=1"]
    status, out, _ = run("simulate", write(), "-q", *roles)
    assert status == 0
    assert out.count('--kv-transfer-config \'{"kv_connector":"NixlConnector"') == 2
    assert "for 100 % of the prompts:" in out
    assert "for 100 % of the outputs:" in out


def test_the_router_of_the_call_goes_before_that_of_the_plan_and_of_the_spec(run):
    spec = write(routing='router = "least_outstanding"')

    def router(*options):
        status, _, _ = run("simulate", spec, "-q", "--json", "PLAN.json", *options)
        assert status == 0
        return json.loads(Path("PLAN.json").read_text(encoding="utf-8"))["router"]

    assert router("--tensor", 1) == "least_outstanding"
    assert router("--tensor", 1, "--router", "least-kv") == "least_kv"
    assert router("--plan", "PLAN.json") == "least_kv"


def test_what_happens_over_time_is_drawn_on_a_terminal_only(run, monkeypatch):
    spec = write()
    assert "Over time" not in run("simulate", spec, "-q")[1]
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "90")
    out = re.sub(r"\x1b\[[0-9;]*m", "", run("simulate", spec, "-q")[1])
    shown = out[out.index("Over time") :].splitlines()[1:8]
    assert [line[2:17].rstrip() for line in shown[:6]] == [
        *("waiting", "running", "KV cache", "power", "prompt tokens/s", "output tokens/s")
    ]
    assert all(len(line) <= 90 for line in shown)


def test_a_table_that_cannot_be_written_is_told_before_the_simulation(run, monkeypatch):
    def late(*_, **__):
        raise AssertionError("too late")

    monkeypatch.setattr("apex_opt.api.play", late)
    status, _, err = run("simulate", write(), "-q", "--json", "missing/result.json")
    assert err == "error: missing/result.json: cannot be written: No such file or directory\n"
    assert status == 2
