"""The command that starts SGLang.

Source: flags of SGLang 0.5.23, sglang/srt/server_args.py.
"""

from __future__ import annotations

import shlex

from apex_opt.plan.result import Deployment, Replica
from apex_opt.report.command_words import half, hosted_gib, joined, node_count, published

KV_DTYPES = {"fp8": "fp8_e4m3", "fp16": "auto"}
"""What SGLang calls a KV-cache format, where it is not our own name."""

ALGORITHMS = {"ngram": "NGRAM", "draft_model": "STANDALONE", "eagle": "EAGLE3", "mtp": "NEXTN"}


def lines(deployment: Deployment, model: str) -> list[str]:
    """Return the shell lines that start one replica."""
    replica = deployment.replica
    flags = [*_degrees(replica), *_formats(replica), *_engine(replica), *_more(replica)]
    start = f"python -m sglang.launch_server --model-path {shlex.quote(model)}"
    return [*_environment(replica), joined([start, *flags, *_nodes(deployment)])]


def _environment(replica: Replica) -> list[str]:
    if replica.pipeline == 1:
        return []
    layers = ",".join(map(str, replica.stage_layers))
    return [f"SGLANG_PP_LAYER_PARTITION={layers} \\"]


def _degrees(replica: Replica) -> list[str]:
    """Return the degrees; TP counts all attention-data-parallel ranks.

    Of the kernels of latent attention, FlashAttention's, the default on Hopper, spread no context.
    """
    flags = [
        f"--tp-size {replica.tensor * replica.attention_data}",
        f"--pp-size {replica.pipeline}",
    ]
    if replica.attention_data > 1:
        flags.append(f"--attn-dp-size {replica.attention_data}")
    if replica.context > 1:
        flags += [f"--dcp-size {replica.context}", "--attention-backend flashinfer"]
    if replica.expert > 1:
        flags.append(f"--ep-size {replica.expert}")
    return flags


def _formats(replica: Replica) -> list[str]:
    dtype = half(replica)
    flags = [f"--dtype {dtype}"] if dtype else []
    if replica.weights == "fp8":
        flags.append("--quantization fp8")
    return [*flags, f"--kv-cache-dtype {KV_DTYPES.get(replica.kv_cache, replica.kv_cache)}"]


def _engine(replica: Replica) -> list[str]:
    """Return the settings; those of each rank as SGLang takes them, of all ranks together.

    Several attention-data-parallel ranks divide sequences and chunk, and schedule with 0.3 of the
    conservativeness that is said.

    Source: SGLang 0.5.23, sglang/srt/server_args.py and managers/tp_worker.py.
    """
    engine, ranks = replica.engine, replica.attention_data
    chunk = engine.max_num_batched_tokens * ranks if engine.chunked_prefill else -1
    conservativeness = engine.schedule_conservativeness / (0.3 if ranks > 1 else 1.0)
    return [
        f"--context-length {engine.max_model_len}",
        f"--max-running-requests {engine.max_num_seqs * ranks}",
        f"--chunked-prefill-size {chunk}",
        f"--max-prefill-tokens {engine.max_num_batched_tokens}",
        f"--page-size {engine.block_size}",
        f"--mem-fraction-static {engine.gpu_memory_utilization:.3f}",
        f"--schedule-conservativeness {conservativeness:g}",
        "--schedule-policy fcfs",
        *(["--enable-mixed-chunk"] if engine.enable_mixed_chunk else []),
        *([] if engine.prefix_caching else ["--disable-radix-cache"]),
        *([] if engine.async_scheduling else ["--disable-overlap-schedule"]),
        *([] if engine.cuda_graphs else ["--disable-cuda-graph"]),
    ]


def _more(replica: Replica) -> list[str]:
    """Return what is said only where it is asked for."""
    engine, flags = replica.engine, []
    if replica.role != "mixed":
        flags += [f"--disaggregation-mode {replica.role}", "--disaggregation-transfer-backend nixl"]
    if engine.scheduling_policy == "priority":
        flags += ["--enable-priority-scheduling", "--schedule-low-priority-values-first"]
    if engine.speculation is not None:
        guessed = engine.speculation
        flags.append(f"--speculative-algorithm {ALGORITHMS[guessed.method]}")
        if guessed.method != "ngram":
            flags += [f"--speculative-num-steps {guessed.tokens}", "--speculative-eagle-topk 1"]
        flags.append(f"--speculative-num-draft-tokens {guessed.tokens + 1}")
        if guessed.model is not None:
            flags.append(f"--speculative-draft-model-path {published(guessed.model)}")
    if engine.kv_offload_gib_per_device:
        gigabytes = engine.kv_offload_gib_per_device * 2**30 / 1e9
        flags += ["--enable-hierarchical-cache", f"--hicache-size {gigabytes:.0f}"]
    if engine.weight_offload:
        flags.append(f"--cpu-offload-gb {hosted_gib(replica):.0f}")
    return flags


def _nodes(deployment: Deployment) -> list[str]:
    nodes = node_count(deployment)
    if nodes == 1:
        return []
    return [
        f"--nnodes {nodes}",
        '--node-rank "$NODE_RANK"',
        '--dist-init-addr "$MASTER_ADDR:5000"',
    ]
