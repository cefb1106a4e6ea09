"""The command that starts TensorRT-LLM: flags, and what only its YAML file can say.

Source: TensorRT-LLM 1.2 documentation, trtllm-serve and TorchLlmArgs.
"""

from __future__ import annotations

import json
import shlex

from apex_opt.plan.result import Deployment, Replica
from apex_opt.report.command_words import joined, node_count, published

KV_DTYPES = {"fp8": "fp8", "nvfp4": "nvfp4"}
"""KV-cache formats that are named; the others follow the model's."""

METHODS = {"ngram": "NGram", "draft_model": "DraftTarget", "eagle": "Eagle", "mtp": "MTP"}
FILE = "trtllm.yaml"


def lines(deployment: Deployment, model: str) -> list[str]:
    """Return the shell lines that write the YAML file and start one replica."""
    replica = deployment.replica
    engine = replica.engine
    share = engine.gpu_memory_utilization
    start = f"trtllm-serve {shlex.quote(model)}"
    if node_count(deployment) > 1:
        start = f"mpirun -n {replica.devices} trtllm-llmapi-launch {start}"
    flags = [
        f"--tp_size {replica.tensor * replica.attention_data}",
        f"--pp_size {replica.pipeline}",
        *([f"--ep_size {replica.expert}"] if replica.expert > 1 else []),
        f"--max_batch_size {engine.max_num_seqs}",
        f"--max_num_tokens {engine.max_num_batched_tokens}",
        f"--max_seq_len {engine.max_model_len}",
        f"--kv_cache_free_gpu_memory_fraction {share:g}",
        f"--config {FILE}",
    ]
    return [f"cat > {FILE} <<'END'", *_file(replica), "END", joined([start, *flags])]


def _file(replica: Replica) -> list[str]:
    """Return the lines of the YAML file."""
    engine = replica.engine
    cache: dict[str, object] = {
        "enable_block_reuse": engine.prefix_caching,
        "tokens_per_block": engine.block_size,
        "dtype": KV_DTYPES.get(replica.kv_cache, "auto"),
    }
    if engine.max_encoder_tokens:
        # Two pools: what the encoder has read, and what the decoder writes, as of the longest.
        longest = engine.max_encoder_tokens + engine.max_model_len
        cache["cross_kv_cache_fraction"] = round(engine.max_encoder_tokens / longest, 3)
    if engine.kv_offload_gib_per_device:
        # In bytes, of each rank.
        cache["host_cache_size"] = int(engine.kv_offload_gib_per_device * 2**30)
    said: dict[str, object] = {
        "enable_chunked_prefill": engine.chunked_prefill,
        "disable_overlap_scheduler": not engine.async_scheduling,
        "scheduler_config": {"capacity_scheduler_policy": "GUARANTEED_NO_EVICT"},
        "kv_cache_config": cache,
    }
    if engine.max_encoder_tokens:
        said["max_input_len"] = engine.max_encoder_tokens
    if not engine.cuda_graphs:
        said["cuda_graph_config"] = None
    if replica.role != "mixed":
        # The buffer takes the longest prompt whole.
        buffer = {"backend": "NIXL", "max_tokens_in_buffer": engine.max_model_len}
        said["cache_transceiver_config"] = buffer
    if replica.attention_data > 1:
        said["enable_attention_dp"] = True
    if replica.pipeline > 1:
        said["pp_partition"] = list(replica.stage_layers)
    if engine.speculation is not None:
        guessed: dict[str, object] = {"decoding_type": METHODS[engine.speculation.method]}
        guessed["max_draft_len"] = engine.speculation.tokens
        if engine.speculation.model is not None:
            guessed["speculative_model_dir"] = published(engine.speculation.model)
        said["speculative_config"] = guessed
    return [f"{key}: {json.dumps(value)}" for key, value in said.items()]
