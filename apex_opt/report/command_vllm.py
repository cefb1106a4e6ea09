"""The command that starts vLLM.

Source: flags of vLLM 0.33, vllm/engine/arg_utils.py and vllm/envs.py.
"""

from __future__ import annotations

import json
import shlex

from apex_opt.plan.result import Deployment, Replica
from apex_opt.report.command_words import HALVES, half, hosted_gib, joined, node_count, published

KV_DTYPES = {**HALVES, "int8": "int8_per_token_head"}
"""What vLLM calls a KV-cache format, where it is not our own name."""

TRANSFER = '{"kv_connector":"NixlConnector","kv_role":"kv_both"}'
"""Both roles say the same: a proxy in front decides who does what.

Source: vLLM 0.33, docs/features/nixl_connector_usage.md.
"""


SIDE_CHANNEL = [
    "# HOST: address of its node; SIDE_PORT: 5600 and on, one a rank of a node",
    'VLLM_NIXL_SIDE_CHANNEL_HOST="$HOST" \\',
    'VLLM_NIXL_SIDE_CHANNEL_PORT="$SIDE_PORT" \\',
]


def lines(deployment: Deployment, model: str) -> list[str]:
    """Return the shell lines that start one replica."""
    replica = deployment.replica
    flags = [*_degrees(replica), *_formats(replica), *_engine(replica), *_more(replica)]
    flags += _nodes(deployment)
    side = []
    if replica.role != "mixed":
        flags.append(f"--kv-transfer-config {shlex.quote(TRANSFER)}")
        side = SIDE_CHANNEL
    return [*side, *_environment(replica), joined([f"vllm serve {shlex.quote(model)}", *flags])]


def _environment(replica: Replica) -> list[str]:
    if replica.pipeline == 1:
        return []
    layers = ",".join(map(str, replica.stage_layers))
    return [f"VLLM_PP_LAYER_PARTITION={layers} \\"]


def _degrees(replica: Replica) -> list[str]:
    flags = [
        f"--tensor-parallel-size {replica.tensor}",
        f"--pipeline-parallel-size {replica.pipeline}",
    ]
    if replica.attention_data > 1:
        flags.append(f"--data-parallel-size {replica.attention_data}")
    if replica.context > 1:
        flags.append(f"--decode-context-parallel-size {replica.context}")
    if replica.expert > 1:
        flags.append("--enable-expert-parallel")
    return flags


def _formats(replica: Replica) -> list[str]:
    dtype = half(replica)
    flags = [f"--dtype {dtype}"] if dtype else []
    if replica.weights == "fp8":
        flags.append("--quantization fp8")
    return [*flags, f"--kv-cache-dtype {KV_DTYPES.get(replica.kv_cache, replica.kv_cache)}"]


def _engine(replica: Replica) -> list[str]:
    engine = replica.engine
    return [
        f"--max-model-len {engine.max_model_len}",
        f"--max-num-seqs {engine.max_num_seqs}",
        f"--max-num-batched-tokens {engine.max_num_batched_tokens}",
        f"--block-size {engine.block_size}",
        f"--gpu-memory-utilization {engine.gpu_memory_utilization:g}",
        _switch("enable-chunked-prefill", on=engine.chunked_prefill),
        _switch("enable-prefix-caching", on=engine.prefix_caching),
        _switch("async-scheduling", on=engine.async_scheduling),
        *([] if engine.cuda_graphs else ["--enforce-eager"]),
    ]


def _more(replica: Replica) -> list[str]:
    """Return what is said only where it is asked for."""
    engine, flags = replica.engine, []
    if engine.scheduling_policy == "priority":
        flags.append("--scheduling-policy priority")
    if engine.speculation is not None:
        guessed = engine.speculation
        said: dict[str, object] = {"method": guessed.method}
        said["num_speculative_tokens"] = guessed.tokens
        if guessed.model is not None:
            said["model"] = published(guessed.model)
        flags.append(f"--speculative-config {shlex.quote(json.dumps(said))}")
    if engine.kv_offload_gib_per_device:
        # In all, over the tensor group.
        flags.append(f"--kv-offloading-size {engine.kv_offload_gib_per_device * replica.tensor:g}")
    if engine.mm_encoder_tp_mode != "weights":
        flags.append(f"--mm-encoder-tp-mode {engine.mm_encoder_tp_mode}")
    if engine.weight_offload:
        flags.append(f"--cpu-offload-gb {hosted_gib(replica):.3g}")
    return flags


def _switch(flag: str, *, on: bool) -> str:
    return f"--{flag}" if on else f"--no-{flag}"


def _nodes(deployment: Deployment) -> list[str]:
    nodes = node_count(deployment)
    if nodes == 1:
        return []
    ranks = deployment.replica.attention_data
    if ranks > 1:
        return _rank_nodes(ranks // nodes)
    return [
        f"--nnodes {nodes}",
        '--node-rank "$NODE_RANK"',
        '--master-addr "$MASTER_ADDR"',
        '$([ "$NODE_RANK" = 0 ] || echo --headless)',
    ]


def _rank_nodes(local: int) -> list[str]:
    """Return what starts `local` ranks on each node; requests come to the first node alone.

    Source: vLLM docs, serving/data_parallel_deployment.md, internal load balancing.
    """
    return [
        f"--data-parallel-size-local {local}",
        f'--data-parallel-start-rank "$((NODE_RANK * {local}))"',
        '--data-parallel-address "$MASTER_ADDR"',
        '$([ "$NODE_RANK" = 0 ] || echo --headless)',
    ]
