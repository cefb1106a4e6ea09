from __future__ import annotations

import re
import shlex

import pytest

from apex_opt.errors import NotBuiltError
from apex_opt.plan.result import Placement
from apex_opt.report.command import checkpoint, serve_command
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
    assert flags[-3:] == [
        "  --nnodes 2 \\",
        '  --node-rank "$NODE_RANK" \\',
        '  --master-addr "$MASTER_ADDR"',
    ]


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


def test_other_engines_are_refused() -> None:
    engine = replica().engine.model_copy(update={"name": "sglang"})
    why = "no command line is built yet for sglang"
    with pytest.raises(NotBuiltError, match=f"^{re.escape(why)}$"):
        serve_command(deployment(replica=replica(engine=engine)), "m")


@pytest.mark.parametrize(
    ("aliases", "name"), [(["short", "org/Model", "org/Other"], "org/Model"), ([], "model")]
)
def test_the_checkpoint_is_the_first_name_on_hugging_face(aliases: list[str], name: str) -> None:
    assert checkpoint("model", aliases) == name
