import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from apex_opt.errors import CallError
from apex_opt.spec import catalog
from benchmarks.fidelity.__main__ import app
from benchmarks.fidelity.case import parse, read
from benchmarks.fidelity.clients import LATE_MS, closed, total
from benchmarks.fidelity.degrees import Degrees, counted_once, degrees, dense, flagged
from benchmarks.fidelity.formats import reads_blocks, weights
from benchmarks.fidelity.outcome import Outcome, outcomes
from benchmarks.fidelity.predict import ratio_of_means
from benchmarks.fidelity.score import errors, rank_agreement
from benchmarks.fidelity.setup import engine, nccl_only, passed_over, prepare, workload
from benchmarks.fidelity.table import summary, table

CONSTANT = {
    "arrival": "constant",
    "rate_rps": 4.0,
    "duration_s": 5.0,
    "prompt_tokens": 100.4,
    "output_tokens": 10.0,
}


def record(**changes):
    """Return a small run of Llama 3.1 8B on an H100."""
    return {
        "id": "small",
        "engine": {"name": "vllm", "version": "0.15.1", "max_num_seqs": 16},
        "device": "h100-sxm-80gb",
        "model": "meta-llama/Llama-3.1-8B",
        "parallel": {"tensor": 1},
        "weights": "bf16",
        "kv_cache": "bf16",
        "workload": CONSTANT,
        "measured": {"ttft_ms": {"mean": 20.0}, "tpot_ms": {"mean": 7.0}, "e2e_ms": {"mean": 83.0}},
    } | changes


def case(**changes):
    return parse(record(**changes), Path())


def predicted(e2e_ms, measured_ms, plan, tokens=10.0, requests=1, group="g"):
    """Return an outcome with these means of E2E."""
    one = case(group=group, plan=plan, measured={"e2e_ms": {"mean": measured_ms}})
    values = {"e2e_ms": {"mean": e2e_ms}}
    return Outcome(one, values, "", "bf16", requests, tokens)


def written(folder, *records, name="runs.jsonl"):
    path = folder / name
    path.write_text("".join(f"{json.dumps(one)}\n" for one in records))
    return path


def test_settings_may_stand_in_a_table_of_their_own_and_null_is_not_said():
    one = case(engine={"name": "vllm", "version": None, "settings": {"max_model_len": 64}})
    assert one.engine == {"name": "vllm", "max_model_len": 64}


def test_a_line_without_a_case_is_told_with_its_number(tmp_path):
    path = written(tmp_path, record(), {"id": "x"})
    with pytest.raises(ValueError, match=re.escape(f"{path}:2: no case: KeyError('engine')")):
        list(read(path))


def test_devices_that_are_counted_twice_are_counted_once():
    twice = {"tensor": 64, "attention_data": 1, "moe_tensor": 8, "moe_expert": 8}
    assert counted_once(twice) == Degrees(tensor=8, expert=True)
    ranks = {"tensor": 1, "attention_data": 16, "moe_tensor": 4, "moe_expert": 4}
    assert counted_once(ranks) == Degrees(tensor=1, attention_data=4, expert=True)


def test_ranks_that_are_told_beside_their_devices_are_these_devices():
    told = {"tensor": 4, "attention_data": 4, "moe_tensor": 1, "moe_expert": 16}
    assert flagged(told) == Degrees(tensor=1, attention_data=4, expert=True)
    assert flagged({"tensor": 2, "attention_data": 4, "moe_expert": 8}) is None
    assert flagged({"tensor": 1}) is None


def test_degrees_that_are_counted_once_stand():
    assert counted_once({"tensor": 8, "moe_tensor": 1, "moe_expert": 8}) is None
    assert counted_once({"tensor": 8, "moe_tensor": 2, "moe_expert": 4}) is None
    assert degrees({"tensor": 2, "expert": True, "data": 3}) == Degrees(2, expert=True, replicas=3)


def test_concurrency_counts_the_clients_of_a_rank():
    assert total({"attention_data": 8}, 4) == 32
    assert total({}, 4) == 4
    assert total({"attention_data": 64, "moe_expert": 8}, 8) == 512
    assert total({"attention_data": 64, "moe_expert": 8}, 9) == 9


def test_each_client_sends_ten_requests_of_spread_lengths():
    found = closed("vllm", (1000, 10), 3)
    assert (found.concurrency, found.requests) == (3, 30)
    assert (found.prompt_tokens.low, found.prompt_tokens.high) == (800, 1000)


def test_lengths_of_sglang_are_fixed_on_workloads_of_its_own():
    assert closed("sglang", (1000, 10), 3).prompt_tokens.value == 1000
    assert closed("sglang", (1024, 8192), 3).output_tokens.low == 6553


@pytest.mark.parametrize(
    ("model", "name", "expected"),
    [
        ("deepseek-r1", "fp8", "fp8-block"),
        ("deepseek-r1", "fp4", "nvfp4"),
        ("gpt-oss-120b", "fp4", "mxfp4"),
        ("glm-5", "fp8", "fp8-block"),
        ("llama-3.1-70b", "fp8", "fp8"),
        ("llama-3.1-70b", "fp4", "nvfp4"),
        ("llama-3.1-70b", "bf16", "bf16"),
        ("qwen3-32b-fp8", None, "fp8-block"),
    ],
)
def test_short_names_of_formats_mean_the_published_checkpoint(model, name, expected):
    assert weights(catalog.model(model), name) == expected


def test_engines_older_than_blocks_read_a_scale_a_tensor():
    assert weights(catalog.model("mixtral-8x7b"), "fp8", blocks=False) == "fp8"
    assert not reads_blocks("vllm", "0.6.0")
    assert reads_blocks("vllm", "0.6.6")
    assert not reads_blocks("sglang", "v0.3.6.post1")
    assert reads_blocks("sglang", None)
    old = case(engine={"name": "vllm", "version": "0.6.0"}, model="mixtral-8x7b", weights="fp8")
    assert prepare(old).part.candidate.shape.weights.name == "fp8"


def test_where_blocks_do_not_fit_a_replica_the_checkpoint_has_a_scale_a_channel():
    run = {"model": "glm-4.5", "weights": "fp8", "device": "h200-sxm-141gb"}
    split = {tensor: prepare(case(parallel={"tensor": tensor}, **run)) for tensor in (4, 8)}
    found = {tensor: one.part.candidate.shape for tensor, one in split.items()}
    assert {tensor: one.weights.name for tensor, one in found.items()} == {4: "fp8-block", 8: "fp8"}
    assert {one.expert for one in found.values()} == {1}


def test_ranks_of_a_dense_model_are_replicas_and_a_flag_that_spreads_experts_says_nothing():
    assert dense(Degrees(2, attention_data=4, expert=True, replicas=3)) == Degrees(2, replicas=12)
    part = prepare(case(parallel={"tensor": 2, "attention_data": 2, "moe_expert": 4})).part
    shape = part.candidate.shape
    assert (part.count, shape.tensor, shape.attention_data, shape.expert) == (2, 2, 1, 1)


def test_clients_of_closed_loops_get_their_first_token_late_and_paced_ones_do_not():
    engine = {"name": "sglang", "version": "0.5.9"}
    own = catalog.release("sglang", "0.5.9").overheads.request_ms
    loop = {"arrival": "closed", "concurrency": 1, "prompt_tokens": 100, "output_tokens": 10}
    found = [prepare(case(engine=engine, workload=one)) for one in (CONSTANT, loop)]
    waits = [one.part.candidate.shape.release.overheads.request_ms for one in found]
    assert waits == [own, own + LATE_MS["sglang", "0.5"]]


def test_what_is_late_is_late_in_releases_of_the_catalogue():
    for name, version in LATE_MS:
        assert catalog.release(name, version).version == version


def test_a_version_without_a_number_is_the_newest():
    assert engine(case(engine={"name": "sglang", "version": "nightly-dev"})).version is None
    assert engine(case()).version == "0.15.1"


def test_settings_without_a_counterpart_are_named():
    assert passed_over(case(engine={"name": "vllm", "max_num_seqs": 4, "swap_gb": 4})) == (
        "swap_gb",
    )


def test_without_a_custom_all_reduce_the_link_is_that_of_nccl():
    device = catalog.device("h100-sxm-80gb")
    assert nccl_only(device).latency_us == device.link.collectives["all_reduce"].latency_us
    other = catalog.device("rtx-4090")
    assert nccl_only(other) is other.link
    alone = prepare(case(engine={"name": "vllm", "version": "0.6.0", "custom_all_reduce": False}))
    assert alone.part.candidate.shape.pool.link == nccl_only(device)


def test_evenly_spaced_requests_last_as_long_as_the_run():
    found = workload(case(workload=CONSTANT | {"shared_prefix_tokens": 20.0, "prefix_groups": 3}))
    assert (found.requests, found.rate_rps, found.prompt_tokens.value) == (20, 4.0, 100)
    assert (found.prefix.groups, found.prefix.tokens) == (3, 20)


def test_an_unknown_arrival_is_refused():
    with pytest.raises(CallError, match=r"^arrival `poisson` is none of constant, trace, closed$"):
        workload(case(workload=CONSTANT | {"arrival": "poisson"}))


def test_experts_that_an_engine_refuses_to_split_are_spread():
    one = case(
        engine={"name": "vllm", "version": "0.18.0"},
        device="h200-sxm-141gb",
        model="MiniMaxAI/MiniMax-M2.5",
        parallel={"tensor": 8, "moe_tensor": 8, "moe_expert": 1},
        weights="fp8",
    )
    assert prepare(one).part.candidate.shape.expert == 8


def test_measured_numbers_tell_how_tpot_was_taken():
    assert ratio_of_means(case(), output_tokens=10.0)  # (83 - 20) / 9 = 7
    assert not ratio_of_means(case(), output_tokens=11.0)
    assert not ratio_of_means(case(measured={"tpot_ms": {"mean": 7.0}}), output_tokens=10.0)


def test_a_small_run_is_predicted_and_its_errors_are_percent():
    (row,) = outcomes([case()])
    assert (row.requests, row.output_tokens, row.weights) == (20, 10.0, "bf16")
    ttft = row.predicted["ttft_ms"]["mean"]
    assert row.error("ttft_ms") == pytest.approx(100 * (ttft / 20 - 1))
    assert 6 < row.predicted["tpot_ms"]["mean"] < 9  # 15 GB of weights at 3.35 TB/s and overheads
    assert row.error("e2e_ms", "p99") is None


def test_attention_ranks_step_together():
    one = case(
        model="deepseek-ai/DeepSeek-R1",
        device="h200-sxm-141gb",
        parallel={"tensor": 1, "attention_data": 8, "moe_expert": 8},
        weights="fp8",
        workload={"arrival": "closed", "concurrency": 1, "prompt_tokens": 64, "output_tokens": 4},
    )
    (row,) = outcomes([one])
    assert prepare(one).part.ranks == 8
    assert row.requests == 80


def test_what_cannot_be_predicted_is_counted_and_named():
    rows = outcomes([case(), case(id="big", model="llama-3.1-405b")])
    assert [row.predicted is None for row in rows] == [False, True]
    told = list(table("f", rows))
    assert told[-1].startswith("not predicted: 1 (big): this plan cannot be started: ")
    assert summary("f", rows)["not_predicted"] == 1


def test_a_case_that_lacks_a_field_does_not_keep_others_from_being_predicted():
    lacking = {"arrival": "closed", "prompt_tokens": 8, "output_tokens": 8}
    first, second = outcomes([case(workload=lacking), case()])
    assert first.reason == "KeyError: 'concurrency'"
    assert second.predicted["ttft_ms"]["mean"] > 0.0


def test_an_encoder_that_reads_the_prompt_reads_it_in_measured_runs_too():
    t5 = case(
        model="google-t5/t5-11b",
        engine={"name": "tensorrt-llm"},
        weights=None,
        kv_cache=None,
    )
    (found,) = outcomes([t5])
    assert found.reason == ""
    assert found.predicted["ttft_ms"]["mean"] > 0.0


def test_saturated_runs_stand_apart():
    (row,) = outcomes([case(overload=True)])
    found = summary("f", [row])
    assert (found["cases"], found["set_apart"], found["ttft_mape"]) == (1, 1, None)
    assert any(line.startswith("overload, not in all") for line in table("f", [row]))


def test_errors_have_a_mean_a_median_and_a_bias():
    rows = [predicted(110.0, 100.0, "a"), predicted(95.0, 100.0, "b"), predicted(99.0, 100.0, "c")]
    found = errors(rows, "e2e_ms")
    assert found.runs == 3
    assert (found.mean, found.median) == (pytest.approx(16 / 3), pytest.approx(5.0))
    assert found.bias == pytest.approx(4 / 3)
    assert errors(rows, "ttft_ms") is None


def test_plans_are_ranked_within_their_group():
    right = [predicted(1.0, 100.0, "a"), predicted(2.0, 200.0, "b")]
    assert rank_agreement(right) == 1.0
    assert rank_agreement([*right, predicted(3.0, 50.0, "c")]) == pytest.approx(1 / 3)
    assert rank_agreement([right[0], predicted(2.0, 200.0, "b", group="h")]) is None


def test_plans_that_were_measured_alike_have_no_order():
    assert rank_agreement([predicted(2.0, 100.0, "a"), predicted(1.0, 102.9, "b")]) is None
    assert rank_agreement([predicted(2.0, 100.0, "a"), predicted(1.0, 103.1, "b")]) == 0.0


def test_runs_of_a_plan_are_weighted_by_their_requests_and_tokens():
    # a: (3 x 100 + 1 x 300) / (3 x 10 + 1 x 10) = 15 ms a token, b: 14.
    a = [
        predicted(100.0, 100.0, "a", requests=3),
        predicted(300.0, 300.0, "a", requests=1),
    ]
    assert rank_agreement([*a, predicted(160.0, 140.0, "b")]) == 0.0


def test_the_driver_prints_a_table_and_ends_with_a_line_a_file(tmp_path):
    written(tmp_path, record())
    out = tmp_path / "out.txt"
    result = CliRunner().invoke(app, [str(tmp_path), "--json", str(out)])
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[0] == "runs.jsonl: errors in percent, of means over requests"
    last = json.loads(lines[-1])
    assert list(last)[:9] == [
        "file",
        "cases",
        "ttft_mape",
        "ttft_median",
        "tpot_mape",
        "tpot_median",
        "e2e_mape",
        "e2e_median",
        "rank_agreement",
    ]
    first, second = map(json.loads, out.read_text().splitlines())
    assert (first["case"], first["reason"]) == ("small", None)
    assert second == last


def test_a_group_is_of_an_engine_a_device_and_a_format_and_tells_its_models_and_percentiles():
    times = {"ttft_ms": {"mean": 20.0, "p99": 40.0}, "tpot_ms": {"mean": 7.0}}
    cases = [case(measured=times), case(model="Qwen/Qwen3-8B"), case(weights="fp8")]
    told = [line[:52].rstrip() for line in table("f", outcomes(cases))]
    group = "  vllm 0.15.1 h100-sxm-80gb"
    assert told[2:9] == [
        f"{'all':<46}     3",
        f"{group + ' bf16':<46}     2",
        f"{'    Llama-3.1-8B':<46}     1",
        f"{'    Qwen3-8B':<46}     1",
        f"{group + ' fp8':<46}     1",
        f"{'all, p99':<46}     3",
        f"{group + ' bf16, p99':<46}     2",
    ]


@pytest.mark.parametrize("time", [0.0, -3.0, float("nan"), float("inf")])
def test_a_time_that_is_not_above_0_was_not_measured(time):
    measured = {"ttft_ms": {"mean": 20.0, "p90": time}, "tpot_ms": {"mean": time}}
    assert case(measured=measured).measured == {"ttft_ms": {"mean": 20.0}, "tpot_ms": {}}


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (
            ["--queueing", "--fit", "vllm:0.6"],
            "--queueing, --fit and --held-out exclude one another",
        ),
        (["--every", "4"], "--every chooses runs to fit to: it needs --fit or --held-out"),
        (
            ["--fit", "vllm:0.15", "--json", "out"],
            "--fit prints numbers of a release, and has no line a case",
        ),
        (["--json", "/no/such/out"], "/no/such/out: cannot be written: No such file or directory"),
    ],
)
def test_options_that_say_nothing_together_are_refused_before_the_first_case(
    tmp_path, options, why
):
    written(tmp_path, record())
    result = CliRunner().invoke(app, [str(tmp_path), *options])
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == f"error: {why}\n"


def test_a_folder_without_cases_is_an_error_of_the_call(tmp_path):
    result = CliRunner().invoke(app, [str(tmp_path)])
    assert result.exit_code == 2
    assert result.stderr == f"error: {tmp_path} holds no case file, *.jsonl\n"


def test_a_faulty_file_is_an_error_of_the_call(tmp_path):
    path = written(tmp_path, {})
    result = CliRunner().invoke(app, [str(tmp_path)])
    assert result.exit_code == 2
    assert result.stderr == f"error: {path}:1: no case: KeyError('engine')\n"
