"""Settings that closed-loop files leave open, as the launch scripts of their benchmark have them.

Case files of closed loops state no settings. Runs with 1,024 or 8,192 tokens in and out are of the
workloads of InferenceX, whose launch scripts are public (SemiAnalysisAI/InferenceX, `benchmarks/`
and its configurations, September 2025 to June 2026). What the script of such a run's engine, model
and device sets is assumed here, by a rule that is the same for every file. Of other closed loops
only the cache is guessed: 8 bits where the weights have 8 or 4, but not on H100.
"""

from __future__ import annotations

from dataclasses import replace

from benchmarks.fidelity import recipes_tensorrt
from benchmarks.fidelity.case import Case
from benchmarks.fidelity.clients import WORKLOADS, total
from benchmarks.fidelity.recipe import DEFAULTS, Recipe

BLACKWELL = {"b200-sxm", "b300-sxm", "gb200"}
SIXTEEN_BITS = {"bf16", "fp16", "mxfp4"}


def recipe(case: Case, weights: str) -> Recipe:
    """Return the settings of a case.

    Args:
        case: what it says itself comes first.
        weights: its weight format, a name of the catalogue.
    """
    given = case.workload
    if given["arrival"] != "closed":
        return DEFAULTS
    wide = weights in SIXTEEN_BITS or case.device.startswith("h100")
    guess = replace(DEFAULTS, kv_cache="bf16" if wide else "fp8")
    if (round(given["prompt_tokens"]), round(given["output_tokens"])) not in WORKLOADS:
        return guess
    return SCRIPTS[case.engine["name"]](case, guess)


def _vllm(case: Case, guess: Recipe) -> Recipe:
    """Return more memory for MiniMax-M2.5, budgets on Blackwell; for gpt-oss few sequences.

    Scripts of MiniMax-M2.5 in 8 bits do not read the flag for attention ranks.
    """
    newest = str(case.engine.get("version") or "")
    if "MiniMax" in case.model and case.weights == "fp8" and "attention_data" in case.parallel:
        guess = replace(guess, ranks=1)
    if "gpt-oss" in case.model:
        return replace(guess, max_num_seqs=_clients(case), graph_tokens=GRAPH_TOKENS)
    if "MiniMax" in case.model and case.device in BLACKWELL and newest[:4] not in OLDER:
        budget = 2 * round(case.workload["prompt_tokens"])
        return replace(guess, max_num_batched_tokens=budget, graph_tokens=GRAPH_TOKENS)
    if "MiniMax" in case.model:
        hopper = case.device not in BLACKWELL
        share = 0.9 if case.device.startswith("h100") else 0.95
        cache = "bf16" if hopper else guess.kv_cache
        return replace(guess, gpu_memory_utilization=share, kv_cache=cache)
    return guess


GRAPH_TOKENS = 2048
"""`--max-cudagraph-capture-size`, of gpt-oss and of MiniMax-M2.5 on Blackwell."""

OLDER = {"0.16", "0.17", "0.18"}
"""Releases of vLLM of the first scripts for MiniMax-M2.5."""


def _sglang(case: Case, guess: Recipe) -> Recipe:
    """DeepSeek-R1 and GLM-5: chunks of 16,384 or 32,768 tokens, and the memory that goes with it.

    On Blackwell the scheduler looks for new requests only every 10 steps, from 16 clients on 30
    (`--scheduler-recv-interval`); GLM-5 every 10 where it has 4 bits.
    """
    clients, tensor = _clients(case), case.parallel["tensor"]
    if "glm" in case.model.lower():
        if case.device not in BLACKWELL:
            return replace(guess, gpu_memory_utilization=0.85, kv_cache="bf16")
        four = case.weights == "fp4"
        return replace(
            guess,
            max_num_batched_tokens=32768,
            max_num_seqs=256 if four else clients,
            gpu_memory_utilization=0.9 if four else 0.85,
            polled_steps=10 if four else 0,
        )
    if "deepseek" not in case.model.lower():
        return guess
    if case.device not in BLACKWELL:
        return replace(
            guess, max_num_batched_tokens=32768, gpu_memory_utilization=0.82, kv_cache="bf16"
        )
    polled = replace(guess, polled_steps=30 if clients >= MANY else 10)
    if case.weights == "fp4":
        return replace(
            polled, max_num_batched_tokens=16384, max_num_seqs=256, gpu_memory_utilization=0.85
        )
    if tensor == 4:
        return replace(
            polled,
            max_num_batched_tokens=8192,
            max_num_seqs=32,
            gpu_memory_utilization=0.95,
            polled_steps=10,
        )
    return replace(
        polled, max_num_batched_tokens=32768, max_num_seqs=512, gpu_memory_utilization=0.82
    )


MANY = 16
"""Clients from which SGLang polls less often."""


def _clients(case: Case) -> int:
    return total(case.parallel, case.workload["concurrency"])


SCRIPTS = {"vllm": _vllm, "sglang": _sglang, "tensorrt-llm": recipes_tensorrt.recipe}
"""By engine: the settings of a run of InferenceX."""
