from pathlib import Path

import pytest

from benchmarks.fidelity.case import parse
from benchmarks.fidelity.predict import step_ms, waited_steps
from benchmarks.fidelity.recipe import DEFAULTS
from benchmarks.fidelity.recipes import recipe
from benchmarks.fidelity.setup import prepare

R1, V3 = "deepseek-ai/DeepSeek-R1", "deepseek-ai/DeepSeek-V3"


def case(engine, device, model, tokens=(1024, 1024), clients=16, **changes):
    """Return a closed loop; `engine`: its name and version."""
    name, _, version = engine.partition(" ")
    loop = {"arrival": "closed", "concurrency": clients}
    loop |= {"prompt_tokens": tokens[0], "output_tokens": tokens[1]}
    record = {
        "id": "small",
        "engine": {"name": name, "version": version or None},
        "device": device,
        "model": model,
        "parallel": {"tensor": 8, "moe_tensor": 8, "moe_expert": 1},
        "weights": "fp8",
        "workload": loop,
        "measured": {},
    }
    return parse(record | changes, Path())


def test_a_closed_loop_of_eight_bit_weights_has_an_eight_bit_cache_but_for_h100():
    def cache(device, weights):
        return recipe(case("vllm", device, "qwen3-32b", (8, 8)), weights).kv_cache

    assert cache("b200-sxm", "fp8") == "fp8"
    assert cache("h100-sxm-80gb", "fp8") == "bf16"
    assert cache("b200-sxm", "bf16") == "bf16"


def test_runs_of_another_arrival_are_left_as_they_are():
    trace = {"arrival": "trace", "file": "x"}
    assert recipe(case("vllm", "b200-sxm", R1, workload=trace), "fp8") == DEFAULTS


def test_runs_of_other_lengths_are_left_as_they_are_but_for_the_cache():
    found = recipe(case("sglang", "b200-sxm", R1, (1000, 1000)), "fp8")
    assert (found.max_num_batched_tokens, found.polled_steps, found.kv_cache) == (None, 0, "fp8")


@pytest.mark.parametrize(("version", "budget"), [("0.17.0", None), ("0.19.0", 16384)])
def test_minimax_on_blackwell_runs_two_prompts_a_step_from_0_19_on(version, budget):
    one = case(f"vllm {version}", "b300-sxm", "MiniMaxAI/MiniMax-M2.5", (8192, 1024))
    assert recipe(one, "fp8-block").max_num_batched_tokens == budget


@pytest.mark.parametrize(
    ("weights", "tokens", "clients", "ranks"),
    [
        ("fp8", (1024, 1024), 256, 1),
        ("fp4", (1024, 1024), 64, 1),
        ("fp4", (1024, 1024), 128, 2),
        ("fp4", (8192, 1024), 256, 1),
    ],
)
def test_minimax_had_attention_ranks_in_four_bits_alone_and_for_many_clients(
    weights, tokens, clients, ranks
):
    told = {"tensor": 2, "attention_data": 2, "moe_tensor": 1, "moe_expert": 4}
    model = "MiniMaxAI/MiniMax-M2.5"
    known = {"weights": weights, "parallel": told}
    one = case("vllm 0.19.0", "b200-sxm", model, tokens, clients, **known)
    shape = prepare(one).part.candidate.shape
    assert (shape.tensor, shape.attention_data, shape.expert) == (2 // ranks, ranks, 2)


@pytest.mark.parametrize(
    ("engine", "model", "ranks"),
    [
        ("vllm 0.17.0", "moonshotai/Kimi-K2.5", 1),
        ("sglang 0.5.9", "Qwen/Qwen3.5-397B-A17B", 1),
        ("sglang 0.5.9", R1, 1),
        ("sglang 0.5.12.post1", R1, None),
    ],
)
def test_ranks_of_a_record_are_none_where_its_script_knows_none(engine, model, ranks):
    told = {"tensor": 4, "attention_data": 4, "moe_tensor": 1, "moe_expert": 16}
    one = case(engine, "b200-sxm", model, parallel=told, weights="fp4")
    assert recipe(one, "nvfp4").ranks == ranks


@pytest.mark.parametrize(("version", "sequences"), [("", 32), ("0.15.1", 32), ("0.18.0", None)])
def test_gpt_oss_on_hopper_had_as_many_sequences_as_clients_before_0_18(version, sequences):
    one = case(f"vllm {version}", "h200-sxm-141gb", "openai/gpt-oss-120b", clients=32)
    assert recipe(one, "mxfp4").max_num_seqs == sequences


def test_minimax_has_its_experts_spread_where_the_script_spreads_them_unasked():
    split = {"tensor": 4, "moe_tensor": 4, "moe_expert": 1}
    for version, spread in (("0.17.0", True), ("0.19.0", False)):
        one = case(f"vllm {version}", "b200-sxm", "MiniMaxAI/MiniMax-M2.5", parallel=split)
        assert (prepare(one).part.candidate.shape.expert > 1) == spread


@pytest.mark.parametrize(
    ("model", "device", "weights", "expected"),
    [
        ("moonshotai/Kimi-K2.5", "h200-sxm-141gb", "int4-experts", (0.95, None, "bf16")),
        ("moonshotai/Kimi-K2.5", "b200-sxm", "nvfp4", (None, 2048, "fp8")),
        ("moonshotai/Kimi-K2.5", "b300-sxm", "nvfp4", (None, None, "bf16")),
        ("Qwen/Qwen3.5-397B-A17B", "b200-sxm", "fp8-block", (None, None, "fp8")),
    ],
)
def test_kimi_on_vllm_is_started_by_its_formats_and_a_model_without_script_by_default(
    model, device, weights, expected
):
    found = recipe(case("vllm 0.19.0", device, model), weights)
    wanted = (found.gpu_memory_utilization, found.max_num_batched_tokens, found.kv_cache)
    assert wanted == expected


@pytest.mark.parametrize(
    ("device", "weights", "clients", "expected"),
    [
        ("h100-sxm-80gb", "fp8-block", 4, (16384, 256, 0.8, 0)),
        ("h200-sxm-141gb", "fp8-block", 4, (16384, 128, 0.8, 0)),
        ("b200-sxm", "bf16", 8, (32768, 128, 0.82, 10)),
        ("b200-sxm", "fp8-block", 16, (32768, 128, 0.82, 30)),
        ("b300-sxm", "fp8-block", 16, (16384, 16, 0.8, 10)),
        ("b300-sxm", "nvfp4", 16, (32768, 128, 0.8, 30)),
    ],
)
def test_qwen_3_5_on_sglang_is_started_as_on_its_device(device, weights, clients, expected):
    found = recipe(case("sglang 0.5.9", device, "Qwen/Qwen3.5-397B-A17B", clients=clients), weights)
    wanted = (found.max_num_batched_tokens, found.max_num_seqs, found.gpu_memory_utilization)
    assert (*wanted, found.polled_steps) == expected


@pytest.mark.parametrize(
    ("engine", "device", "model", "weights", "clients", "spread"),
    [
        ("tensorrt-llm", "h200-sxm-141gb", V3, "fp8-block", 4, True),
        ("tensorrt-llm", "b200-sxm", R1, "nvfp4", 8, None),
        ("tensorrt-llm", "b200-sxm", R1, "nvfp4", 16, True),
        ("tensorrt-llm", "h200-sxm-141gb", "openai/gpt-oss-120b", "mxfp4", 4, True),
        ("sglang", "b200-sxm", R1, "nvfp4", 4, True),
        ("sglang", "b200-sxm", R1, "fp8-block", 4, None),
        ("sglang 0.5.9", "b200-sxm", R1, "nvfp4", 4, None),
    ],
)
def test_first_scripts_spread_experts_themselves(engine, device, model, weights, clients, spread):
    assert recipe(case(engine, device, model, clients=clients), weights).spread == spread


@pytest.mark.parametrize(("clients", "guesses"), [(64, 0), (128, 2)])
def test_sglang_guesses_for_deepseek_at_points_that_were_run_with_guesses_alone(clients, guesses):
    one = case("sglang 0.5.9", "b200-sxm", R1, clients=clients)
    assert recipe(one, "fp8-block").guesses == guesses
    assert recipe(one, "nvfp4").guesses == 0


@pytest.mark.parametrize(("clients", "steps"), [(15, 10), (16, 30)])
def test_sglang_on_blackwell_looks_for_requests_every_so_many_steps(clients, steps):
    assert recipe(case("sglang", "b200-sxm", R1, clients=clients), "fp8").polled_steps == steps
    assert recipe(case("sglang", "h200-sxm-141gb", R1, clients=clients), "fp8").polled_steps == 0


def test_four_blackwell_devices_hold_deepseek_in_eight_bits_by_a_greater_share():
    four = {"tensor": 4, "moe_tensor": 4, "moe_expert": 1}
    one = case("sglang", "b200-sxm", R1, (8192, 1024), parallel=four)
    assert recipe(one, "fp8-block").gpu_memory_utilization == 0.95
    assert prepare(one).part.blocks > 0


@pytest.mark.parametrize(
    ("version", "parallel", "tokens", "clients", "guesses"),
    [
        ("1.2.0rc6.post3", {"tensor": 8}, (1024, 1024), 16, 3),
        ("1.2.0rc6.post3", {"tensor": 1, "attention_data": 8}, (1024, 1024), 16, 1),
        ("1.2.0rc6.post2", {"tensor": 8}, (1024, 1024), 16, 0),
        ("1.1.0rc2.post2", {"tensor": 8, "moe_expert": 8}, (8192, 1024), 32, 3),
        ("1.1.0rc2.post2", {"tensor": 8, "moe_expert": 8}, (8192, 1024), 64, 0),
    ],
)
def test_tensorrt_llm_guesses_where_a_recipe_of_that_image_does(
    version, parallel, tokens, clients, guesses
):
    one = case(f"tensorrt-llm {version}", "b200-sxm", R1, tokens, clients, parallel=parallel)
    assert recipe(one, "fp8-block").guesses == guesses


def test_tensorrt_llm_does_not_guess_on_h200():
    one = case("tensorrt-llm 1.1.0rc2.post2", "h200-sxm-141gb", V3, parallel={"tensor": 8})
    assert recipe(one, "fp8-block").guesses == 0


@pytest.mark.parametrize(("clients", "ranks"), [(32, None), (64, 8)])
def test_first_recipes_of_tensorrt_llm_have_attention_ranks_for_many_clients(clients, ranks):
    one = case("tensorrt-llm", "b200-sxm", R1, (8192, 1024), clients, weights="fp4")
    assert recipe(one, "nvfp4").ranks == ranks
    assert prepare(one).part.ranks == (ranks or 1)


def test_a_step_of_tensorrt_llm_takes_a_prompt_and_all_who_decode():
    plain = case("tensorrt-llm", "h200-sxm-141gb", V3, clients=30)
    assert recipe(plain, "fp8-block").max_num_batched_tokens == 1152
    later = case("tensorrt-llm 1.2.0rc6.post2", "b200-sxm", R1, clients=30)
    assert recipe(later, "fp8-block").max_num_batched_tokens == 8192
    guessing = case("tensorrt-llm 1.2.0rc6.post3", "b200-sxm", R1, clients=30)
    assert recipe(guessing, "fp8-block").max_num_batched_tokens == 1216


@pytest.mark.parametrize(
    ("version", "parallel", "tokens"),
    [
        ("1.1.0rc2.post2", {"tensor": 8, "moe_tensor": 8}, 512),
        ("1.2.0rc6.post2", {"tensor": 8, "moe_tensor": 8}, 64),
        ("1.2.0rc6.post3", {"tensor": 8, "moe_tensor": 8}, 256),
        ("1.2.0rc6.post3", {"tensor": 1, "attention_data": 8, "moe_expert": 8}, 32),
    ],
)
def test_graphs_of_tensorrt_llm_take_so_many_sequences_with_their_guesses(
    version, parallel, tokens
):
    clients = 64 // parallel.get("attention_data", 1)
    known = {"weights": "fp4", "parallel": parallel}
    one = case(f"tensorrt-llm {version}", "b200-sxm", R1, clients=clients, **known)
    # Of 64 clients all, with three guesses each; with ranks a quarter, and one guess each.
    assert prepare(one).part.candidate.shape.settings.graph_tokens == tokens


def test_a_record_of_more_than_a_node_is_one_of_ranks():
    wide = {"tensor": 32, "moe_tensor": 32, "moe_expert": 1}
    one = case("tensorrt-llm", "gb200", R1, clients=320, parallel=wide, weights="fp4")
    run = prepare(one)
    assert (run.part.ranks, run.load.concurrency, run.alike) == (32, 10, True)


def test_balanced_ranks_wait_for_the_others_but_not_for_ever():
    ranks = {"tensor": 1, "attention_data": 8, "moe_expert": 8}
    few = case("tensorrt-llm 1.2.0rc6.post2", "b200-sxm", R1, clients=1, parallel=ranks)
    many = case("tensorrt-llm 1.2.0rc6.post2", "b200-sxm", R1, clients=60, parallel=ranks)
    # 8 clients of 922 tokens: 1 of 115 steps ends one, so all 60 steps pass: the first waits 60,
    # half a request more waits 30.
    assert waited_steps(prepare(few)) == pytest.approx(50, abs=1)
    # 480 clients: one ends in each 2 steps; the 7 others have a prompt after 8 x 2.6 x 2 steps.
    assert waited_steps(prepare(many)) == pytest.approx(21, abs=1)


@pytest.mark.parametrize(("clients", "steps"), [(64, 25), (512, 6)])
def test_prompts_wait_until_they_fill_a_step_but_not_for_ever(clients, steps):
    one = case("tensorrt-llm 1.2.0rc6.post2", "b200-sxm", R1, clients=clients)
    # 0.8 of 8,192 tokens, less 64 that decode, hold 7 prompts of 922. One comes each 14 steps, so
    # all 40 pass: the first waits 40, 2.8 more 20. Of 512 clients one comes each 1.8 steps.
    assert waited_steps(prepare(one)) == pytest.approx(steps, abs=1)


def test_a_step_takes_as_long_as_the_tokens_that_it_samples():
    run = prepare(case("tensorrt-llm 1.2.0rc6.post3", "b200-sxm", R1, clients=4))
    assert step_ms(run, {"tpot_ms": {"mean": 5.0}}) == pytest.approx(5 * (1 + 0.7 + 0.49 + 0.343))
