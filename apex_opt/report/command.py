"""The command that starts a replica, every setting said: nothing is left to a default."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from apex_opt.errors import NotBuiltError
from apex_opt.plan.result import Deployment, Replica

DTYPES = {"bf16": "bfloat16", "fp16": "float16"}
KV_DTYPES = {**DTYPES, "int8": "int8_per_token_head"}
"""What vLLM calls a KV-cache format, where it is not our own name."""

TRANSFER = '{"kv_connector":"NixlConnector","kv_role":"kv_both"}'
"""Both roles say the same: a proxy in front decides who does what.

Source: vLLM 0.33, docs/features/nixl_connector_usage.md.
"""

ONLINE = {"fp8"}
"""Weight formats into which vLLM turns a 16-bit checkpoint itself."""


def serve_command(deployment: Deployment, model: str) -> str:
    """Return the shell lines that start one replica of a deployment.

    Args:
        deployment: a deployment of a plan.
        model: name on Hugging Face, or folder, of a checkpoint in the plan's weight format.

    Raises:
        NotBuiltError: the engine is not vLLM.

    Source: flags of vLLM 0.33, vllm/engine/arg_utils.py and vllm/envs.py.
    """
    replica = deployment.replica
    if replica.engine.name != "vllm":
        raise NotBuiltError(f"no command line is built yet for {replica.engine.name}")
    flags = [*_degrees(replica), *_formats(replica), *_engine(replica), *_nodes(deployment)]
    if replica.role != "mixed":
        flags.append(f"--kv-transfer-config {shlex.quote(TRANSFER)}")
    serve = " \\\n  ".join([f"vllm serve {shlex.quote(model)}", *flags])
    return "\n".join([*_remarks(deployment), *_environment(replica), serve])


def checkpoint(name: str, aliases: Sequence[str]) -> str:
    """Return a model's first name on Hugging Face, of the form `owner/name`, else its own."""
    return next((alias for alias in aliases if "/" in alias), name)


def _remarks(deployment: Deployment) -> list[str]:
    """Return what no flag says, as comments."""
    replica, said = deployment.replica, []
    if replica.weights not in DTYPES and replica.weights not in ONLINE:
        said.append(f"# needs a checkpoint with {replica.weights} weights")
    if replica.role != "mixed":
        said.append("# behind a proxy that sends a prompt to prefill, then its request to decode")
    if replica.clock_mhz is not None:
        said.append(f"nvidia-smi --lock-gpu-clocks={replica.clock_mhz:.0f}")
    if _node_count(deployment) > 1:
        said.append("# on each of its nodes, with NODE_RANK 0, 1, ... and node 0 as MASTER_ADDR")
    return said


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
    if replica.expert > 1:
        flags.append("--enable-expert-parallel")
    return flags


def _formats(replica: Replica) -> list[str]:
    dtype = DTYPES.get(replica.weights) or DTYPES.get(replica.kv_cache)
    flags = [f"--dtype {dtype}"] if dtype else []
    if replica.weights in ONLINE:
        flags.append(f"--quantization {replica.weights}")
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


def _switch(flag: str, *, on: bool) -> str:
    return f"--{flag}" if on else f"--no-{flag}"


def _nodes(deployment: Deployment) -> list[str]:
    nodes = _node_count(deployment)
    if nodes == 1:
        return []
    return [f"--nnodes {nodes}", '--node-rank "$NODE_RANK"', '--master-addr "$MASTER_ADDR"']


def _node_count(deployment: Deployment) -> int:
    """Return the nodes of the replica that stands on most."""
    return max((len({at.node for at in replica}) for replica in deployment.nodes), default=1)
