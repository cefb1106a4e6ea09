from __future__ import annotations

import json
import shlex

import pytest

from apex_opt.plan.result import Placement, Stage
from apex_opt.report.command import checkpoint, serve_command
from apex_opt.spec.speculation import Speculation
from tests.report.samples import deployment, replica

PLAIN = """\
vllm serve meta-llama/Llama-3.1-70B \\
  --tensor-parallel-size 4 \\
  --pipeline-parallel-size 1 \\
  --dtype bfloat16 \\
  --kv-cache-dtype bfloat16 \\
  --max-model-len 15008 \\
  --max-num-seqs 1024 \\
  --max-num-batched-tokens 8192 \\
  --block-size 16 \\
  --gpu-memory-utilization 0.9 \\
  --enable-chunked-prefill \\
  --no-enable-prefix-caching \\
  --async-scheduling"""


def test_every_setting_is_said() -> None:
    assert serve_command(deployment(), "meta-llama/Llama-3.1-70B") == PLAIN


def test_a_pipeline_across_nodes_names_its_layers_and_its_nodes() -> None:
    stages = replica(pipeline=2, stage_layers=(41, 39), devices=8)
    nodes = ((Placement(node=0, stage=0, devices=4), Placement(node=1, stage=1, devices=4)),)
    first, second, *flags = serve_command(deployment(1, replica=stages, nodes=nodes), "m").split(
        "\n"
    )
    assert first == "# on each of its nodes, with NODE_RANK 0, 1, ... and node 0 as MASTER_ADDR"
    assert second == "VLLM_PP_LAYER_PARTITION=41,39 \\"
    assert "  --pipeline-parallel-size 2 \\" in flags
    assert flags[-4:] == [
        "  --nnodes 2 \\",
        '  --node-rank "$NODE_RANK" \\',
        '  --master-addr "$MASTER_ADDR" \\',
        '  $([ "$NODE_RANK" = 0 ] || echo --headless)',
    ]


def test_over_several_pools_each_stage_is_started_where_it_stands() -> None:
    pools = [("a100", "a100-sxm-40gb", 36), ("a100", "a100-sxm-40gb", 36), ("l4", "l4", 8)]
    stages = tuple(Stage(pool=pool, device=device, layers=n) for pool, device, n in pools)
    one = replica(
        pipeline=3, tensor=2, stage_layers=(36, 36, 8), devices=6, stages=stages, weights="fp16"
    )
    nodes = tuple(
        Placement(node=node, stage=stage, devices=devices, pool=pool)
        for node, stage, devices, pool in [
            (0, 0, 2, "a100"),
            (0, 1, 2, "a100"),
            (0, 2, 1, "l4"),
            (1, 2, 1, "l4"),
        ]
    )
    lines = serve_command(deployment(1, replica=one, nodes=(nodes,)), "m").split("\n")
    assert lines[:5] == [
        "# on 1 device at a time (CUDA_VISIBLE_DEVICES), in the order of stages,",
        "# with NODE_RANK 0, 1, ... and the first one as MASTER_ADDR:",
        "#   stages 0-1: a100, 36 layers",
        "#   stage 2: l4, 8 layers",
        "VLLM_PP_LAYER_PARTITION=36,36,8 \\",
    ]
    assert "  --nnodes 6 \\" in lines
    together = (*nodes[:2], Placement(node=0, stage=2, devices=2, pool="l4"))
    said = serve_command(deployment(1, replica=one, nodes=(together,)), "m")
    assert "# on 2 devices at a time" in said
    assert "--nnodes 3" in said
    by_mpi = one.model_copy(
        update={"engine": one.engine.model_copy(update={"name": "tensorrt-llm"})}
    )
    said = serve_command(deployment(1, replica=by_mpi, nodes=(nodes,)), "m")
    assert said.startswith("# MPI ranks in the order of stages, 2 a stage:\n")
    assert "pp_partition: [36, 36, 8]" in said
    assert "mpirun -n 6 trtllm-llmapi-launch" in said


@pytest.mark.parametrize(
    ("weights", "kv_cache", "said", "unsaid"),
    [
        ("fp16", "fp16", ["--dtype float16", "--kv-cache-dtype float16"], "--quantization"),
        ("fp8", "fp16", ["--dtype float16", "--kv-cache-dtype float16"], "--quantize"),
        ("fp8", "fp8", ["--quantization fp8", "--kv-cache-dtype fp8"], "--dtype"),
        ("awq-int4", "int8", ["--kv-cache-dtype int8_per_token_head"], "--quantization"),
    ],
)
def test_formats_have_the_engines_own_names(
    weights: str, kv_cache: str, said: list[str], unsaid: str
) -> None:
    text = serve_command(deployment(replica=replica(weights=weights, kv_cache=kv_cache)), "m")
    assert all(flag in text for flag in said)
    assert f"{unsaid} " not in text
    assert ("# needs a checkpoint with awq-int4 weights" in text) == (weights == "awq-int4")


def test_experts_attention_copies_eager_steps_and_clocks_are_said() -> None:
    engine = replica().engine.model_copy(update={"cuda_graphs": False, "async_scheduling": False})
    own = replica(expert=8, attention_data=2, engine=engine, clock_mhz=1410.0)
    lines = serve_command(deployment(replica=own), "m").replace(" \\", "").split("\n")
    assert lines[0] == "nvidia-smi --lock-gpu-clocks=1410"
    assert {
        "  --data-parallel-size 2",
        "  --enable-expert-parallel",
        "  --no-async-scheduling",
        "  --enforce-eager",
    } <= set(lines)


def test_a_model_with_odd_characters_is_quoted() -> None:
    words = shlex.split(serve_command(deployment(), "my models/$(reboot)"))
    assert words[2] == "my models/$(reboot)"


SPECULATION = Speculation(method="draft_model", tokens=3, acceptance=0.7, model="llama-3.2-1b")
MORE = {
    "scheduling_policy": "priority",
    "prefix_caching": True,
    "speculation": SPECULATION,
    "kv_offload_gib_per_device": 8.0,
    "weight_offload": 0.3,
}


def started(name: str, **changes: object) -> str:
    engine = replica().engine.model_copy(update={"name": name, "block_size": 1, **changes})
    return serve_command(deployment(replica=replica(engine=engine)), "m")


def test_vllm_is_told_of_guesses_host_memory_and_priorities() -> None:
    # 35 GiB are 70 % of the weights; the cache's host memory is that of four devices.
    assert started("vllm", **MORE).split(" \\\n  ")[-4:] == [
        "--scheduling-policy priority",
        (
            '--speculative-config \'{"method": "draft_model", "num_speculative_tokens": 3, '
            '"model": "meta-llama/Llama-3.2-1B"}\''
        ),
        "--kv-offloading-size 32",
        "--cpu-offload-gb 15",
    ]


SGLANG = """\
python -m sglang.launch_server --model-path m \\
  --tp-size 4 \\
  --pp-size 1 \\
  --dtype bfloat16 \\
  --kv-cache-dtype bf16 \\
  --context-length 15008 \\
  --max-running-requests 1024 \\
  --chunked-prefill-size 8192 \\
  --max-prefill-tokens 8192 \\
  --page-size 1 \\
  --mem-fraction-static 0.900 \\
  --schedule-conservativeness 1 \\
  --schedule-policy fcfs \\
  --disable-radix-cache"""


def test_sglang_is_told_every_setting() -> None:
    assert started("sglang") == SGLANG


@pytest.mark.parametrize(
    ("engine", "said"),
    [
        ("vllm", ["--decode-context-parallel-size 8"]),
        ("sglang", ["--dcp-size 8", "--attention-backend flashinfer"]),
    ],
)
def test_engines_are_told_to_spread_a_cache(engine: str, said: list[str]) -> None:
    chosen = replica().engine.model_copy(update={"name": engine})
    plain, spread = (
        serve_command(deployment(replica=replica(tensor=8, context=c, engine=chosen)), "m")
        for c in (1, 8)
    )
    lines = spread.split(" \\\n  ")
    assert [line for line in lines if line not in plain.split(" \\\n  ")] == said


def test_sglang_is_told_what_all_ranks_have_together() -> None:
    engine = replica().engine.model_copy(update={"name": "sglang"})
    own = replica(tensor=1, expert=4, attention_data=4, engine=engine)
    lines = set(serve_command(deployment(replica=own), "m").split(" \\\n  "))
    assert {
        "--tp-size 4",
        "--attn-dp-size 4",
        "--ep-size 4",
        "--max-running-requests 4096",
        "--chunked-prefill-size 32768",
        "--max-prefill-tokens 8192",
        "--schedule-conservativeness 3.33333",
    } <= lines


def test_ranks_on_several_nodes_start_on_each_of_them_and_listen_on_the_first() -> None:
    own = replica(tensor=1, expert=16, attention_data=16, devices=16)
    nodes = ((Placement(node=0, stage=0, devices=8), Placement(node=1, stage=0, devices=8)),)
    text = serve_command(deployment(1, replica=own, nodes=nodes), "m")
    assert text.split(" \\\n  ")[-4:] == [
        "--data-parallel-size-local 8",
        '--data-parallel-start-rank "$((NODE_RANK * 8))"',
        '--data-parallel-address "$MASTER_ADDR"',
        '$([ "$NODE_RANK" = 0 ] || echo --headless)',
    ]


def test_sglang_is_told_of_guesses_host_memory_and_priorities() -> None:
    text = started("sglang", **MORE, enable_mixed_chunk=True, async_scheduling=False)
    assert text.split(" \\\n  ")[13:] == [
        "--enable-mixed-chunk",
        "--disable-overlap-schedule",
        "--enable-priority-scheduling",
        "--schedule-low-priority-values-first",
        "--speculative-algorithm STANDALONE",
        "--speculative-num-steps 3",
        "--speculative-eagle-topk 1",
        "--speculative-num-draft-tokens 4",
        "--speculative-draft-model-path meta-llama/Llama-3.2-1B",
        "--enable-hierarchical-cache",
        "--hicache-size 9",
        "--cpu-offload-gb 15",
    ]


TENSORRT = """\
cat > trtllm.yaml <<'END'
enable_chunked_prefill: true
disable_overlap_scheduler: false
scheduler_config: {"capacity_scheduler_policy": "GUARANTEED_NO_EVICT"}
kv_cache_config: {"enable_block_reuse": false, "tokens_per_block": 1, "dtype": "auto"}
END
trtllm-serve m \\
  --tp_size 4 \\
  --pp_size 1 \\
  --max_batch_size 1024 \\
  --max_num_tokens 8192 \\
  --max_seq_len 15008 \\
  --kv_cache_free_gpu_memory_fraction 0.9 \\
  --config trtllm.yaml"""


def test_tensorrt_llm_reads_a_file() -> None:
    assert started("tensorrt-llm") == TENSORRT


def test_the_file_of_tensorrt_llm_names_guesses_stages_and_host_memory() -> None:
    engine = replica().engine.model_copy(update={"name": "tensorrt-llm", **MORE})
    stages = replica(
        pipeline=2, stage_layers=(41, 39), devices=8, engine=engine, kv_cache="fp8", expert=4
    )
    nodes = ((Placement(node=0, stage=0, devices=4), Placement(node=1, stage=1, devices=4)),)
    text = serve_command(deployment(1, replica=stages, nodes=nodes), "m")
    file = text.partition("<<'END'\n")[2].partition("END")[0].splitlines()
    said = {key: json.loads(value) for key, value in (line.split(": ", 1) for line in file)}
    assert said["pp_partition"] == [41, 39]
    assert said["kv_cache_config"]["host_cache_size"] == 8 * 2**30
    assert said["kv_cache_config"]["dtype"] == "fp8"
    assert said["speculative_config"] == {
        "decoding_type": "DraftTarget",
        "max_draft_len": 3,
        "speculative_model_dir": "meta-llama/Llama-3.2-1B",
    }
    assert "\nmpirun -n 8 trtllm-llmapi-launch trtllm-serve m \\\n" in text
    assert "--ep_size 4" in text


def test_what_an_engine_has_no_flag_for_is_said() -> None:
    first, second, *_ = started("vllm", scheduling_policy="shortest", expert_offload=0.25).split(
        "\n"
    )
    assert first == "# vllm has no flag for the shortest prompt first"
    assert second == "# vllm has no flag for 25% of experts on the host"


@pytest.mark.parametrize(
    ("aliases", "name"), [(["short", "org/Model", "org/Other"], "org/Model"), ([], "model")]
)
def test_the_checkpoint_is_the_first_name_on_hugging_face(aliases: list[str], name: str) -> None:
    assert checkpoint("model", aliases) == name


@pytest.mark.parametrize(
    ("name", "said"),
    [
        (
            "vllm",
            [
                '--kv-transfer-config \'{"kv_connector":"NixlConnector","kv_role":"kv_both"}\'',
                'VLLM_NIXL_SIDE_CHANNEL_HOST="$HOST" \\',
                'VLLM_NIXL_SIDE_CHANNEL_PORT="$SIDE_PORT" \\',
            ],
        ),
        (
            "sglang",
            ["--disaggregation-mode decode", "--disaggregation-transfer-backend nixl"],
        ),
        (
            "tensorrt-llm",
            ['cache_transceiver_config: {"backend": "NIXL", "max_tokens_in_buffer": 15008}'],
        ),
    ],
)
def test_roles_stand_behind_a_proxy_and_each_engine_is_told_in_its_own_words(
    name: str, said: list[str]
) -> None:
    one = replica(engine=replica().engine.model_copy(update={"name": name}), role="decode")
    remark, *lines = serve_command(deployment(replica=one), "m").split("\n")
    assert remark == "# behind a proxy that sends a prompt to prefill, then its request to decode"
    for flag in said:
        assert any(flag in line for line in lines)
        assert flag not in started(name)


def test_vllm_is_told_how_images_are_shared_out() -> None:
    engine = replica().engine.model_copy(update={"mm_encoder_tp_mode": "data"})
    said = serve_command(deployment(replica=replica(engine=engine)), "m")
    assert "  --mm-encoder-tp-mode data" in said.splitlines()


def test_tensorrt_llm_is_told_how_its_cache_is_divided_between_encoder_and_decoder() -> None:
    changes = {"name": "tensorrt-llm", "max_encoder_tokens": 1500, "max_model_len": 500}
    engine = replica().engine.model_copy(update=changes)
    said = serve_command(deployment(replica=replica(engine=engine)), "m")
    assert '"cross_kv_cache_fraction": 0.75' in said
    assert "max_input_len: 1500" in said.splitlines()
