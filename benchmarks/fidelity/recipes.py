"""What closed-loop cases leave open, as the scripts of their benchmark have it.

Case files of closed loops state no settings. Runs with 1,024 or 8,192 tokens in and out are of the
workloads of InferenceX, whose launch scripts are public (SemiAnalysisAI/InferenceX, `benchmarks/`,
2025-2026). Of these scripts, what most have in common is assumed here, for every such run:

- a KV cache of 8 bits where the weights have 8 or 4 (`--kv-cache-dtype fp8`), but for gpt-oss, and
  but for H100, where runs queue at half the sequences that an 8-bit cache would hold;
- SGLang on Blackwell, DeepSeek models: `--scheduler-recv-interval` 10, from 16 clients on 30: the
  scheduler looks for new requests only each so many steps, so a request waits half of it.
"""

from __future__ import annotations

from benchmarks.fidelity.case import Case

POLLED = {"b200-sxm", "b300-sxm"}
SIXTEEN_BITS = {"bf16", "fp16", "mxfp4"}
POLLS = (10, 30)
"""Steps between looks for new requests, with few and with many clients."""

MANY = 16
"""Clients from which there are many."""


def kv_cache(case: Case, weights: str) -> str:
    """Return the format of the KV cache of a case; what nothing is known of has 16 bits.

    Args:
        case: its own word comes first.
        weights: its weight format, a name of the catalogue.
    """
    if case.kv_cache is not None:
        return case.kv_cache
    closed = case.workload["arrival"] == "closed"
    wide = weights in SIXTEEN_BITS or case.device.startswith("h100")
    return "fp8" if closed and not wide else "bf16"


def waited_steps(case: Case) -> float:
    """Return the steps for which a request of a case waits, on average, to be looked at."""
    polled = case.engine["name"] == "sglang" and case.device in POLLED
    if case.workload["arrival"] != "closed" or not polled or "deepseek" not in case.model.lower():
        return 0.0
    return POLLS[case.workload["concurrency"] >= MANY] / 2
