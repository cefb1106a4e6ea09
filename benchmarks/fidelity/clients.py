"""Clients of a closed loop: what a load generator sends that holds a concurrency.

Files state a concurrency and two lengths. How many requests were sent and how their lengths were
spread is not known. Assumed is, by engine:

- all: each client sends ten requests, and all begin at once (InferenceX: `--num-prompts` ten times
  the concurrency, `--request-rate inf`, for all models from September 2025 on); means are over all
  requests, the opening burst too. Its warm-up of twice the concurrency (from 21 January 2026 on) is
  not in them; what older runs compiled in their first requests is not known;
- lengths uniform in 0.8 to 1 of the stated ones (InferenceX: `--random-range-ratio 0.8`), but for
  SGLang on other workloads than those of InferenceX, where they are fixed: such runs show the
  waves of clients in lock step;
- first tokens come `LATE_MS` later than they would to paced clients.

The same protocol stands for every file; of its numbers only `LATE_MS` is fitted, one a release.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from apex_opt.spec.workload import Fixed, Lengths, Uniform, Workload

TURNS = 10
"""Requests of each client."""

SPREAD = 0.8
"""Least length over the stated one."""

WORKLOADS = {(1024, 1024): "chat", (1024, 8192): "long", (8192, 1024): "code"}
"""Prompt and output tokens of the workloads of InferenceX, and what they are called here."""

LATE_MS = {
    ("vllm", "0.33"): 9.0,
    ("vllm", "0.19"): 8.0,
    ("vllm", "0.18"): 12.0,
    ("vllm", "0.16"): 9.0,
    ("vllm", "0.8"): 55.0,
    ("sglang", "0.5"): 83.0,
    ("tensorrt-llm", "1.0"): 91.0,
}
"""What first tokens of closed loops take beside scheduler, steps and the release's `request_ms`, by
engine and release; others: nothing. It does not grow with the load and holds back no other request.
Paced runs of vLLM 0.6 and 0.15 show none; where it comes from is not known. Fitted with
`--fit`, which gives it and `request_ms` in one.
"""

MOST = 512
"""Most clients of a run whose record counts its devices twice: all are of one node."""


def total(parallel: Mapping[str, Any], concurrency: int) -> int:
    """Return the clients of a closed loop, whose concurrency is stated for each attention rank.

    Fewer clients than the ranks of a record that counts them twice cannot be stated so: then it
    states all.
    """
    ranks = parallel.get("attention_data") or 1
    twice = ranks > (parallel.get("moe_expert") or ranks)
    return concurrency if twice and concurrency * ranks > MOST else concurrency * ranks


def lengths(tokens: int, *, spread: bool) -> Lengths:
    """Return the distribution of a stated length."""
    if spread:
        return Uniform(distribution="uniform", low=max(int(SPREAD * tokens), 1), high=tokens)
    return Fixed(distribution="fixed", value=tokens)


def closed(engine: str, tokens: tuple[int, int], concurrency: int) -> Workload:
    """Return the workload of so many clients of an engine, each of prompt and output tokens."""
    prompt, output = tokens
    spread = engine != "sglang" or tokens in WORKLOADS
    return Workload(
        arrival="closed",
        concurrency=concurrency,
        requests=TURNS * concurrency,
        prompt_tokens=lengths(prompt, spread=spread),
        output_tokens=lengths(output, spread=spread),
    )
