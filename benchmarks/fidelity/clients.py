"""Clients of a closed loop: what a load generator sends that holds a concurrency.

Files state a concurrency and two lengths. How many requests were sent and how their lengths were
spread is not known; the published load generators do this:

- InferenceX (`benchmark_serving.py --random-range-ratio 0.8 --num-prompts 10 x concurrency`):
  lengths uniform in 0.8 to 1 of the stated ones, all clients start at once. Its workloads are 1,024
  and 8,192 tokens in and out.
- others (AIPerf, genai-perf): fixed lengths.

This is an assumption, the same for every engine; it is not fitted.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from apex_opt.spec.workload import Fixed, Lengths, Uniform, Workload

TURNS = 10
"""Requests of each client."""

SPREAD = 0.8
"""Least length over the stated one."""

SPREAD_WORKLOADS = {(1024, 1024), (1024, 8192), (8192, 1024)}
"""Prompt and output tokens of the workloads whose lengths are spread."""


def total(parallel: Mapping[str, Any], concurrency: int) -> int:
    """Return the clients of a closed loop, whose concurrency is stated for each attention rank."""
    return concurrency * (parallel.get("attention_data") or 1)


def lengths(tokens: int, *, spread: bool) -> Lengths:
    """Return the distribution of a stated length."""
    if spread:
        return Uniform(distribution="uniform", low=max(int(SPREAD * tokens), 1), high=tokens)
    return Fixed(distribution="fixed", value=tokens)


def closed(prompt_tokens: int, output_tokens: int, concurrency: int) -> Workload:
    """Return the workload of so many clients."""
    spread = (prompt_tokens, output_tokens) in SPREAD_WORKLOADS
    return Workload(
        arrival="closed",
        concurrency=concurrency,
        requests=TURNS * concurrency,
        prompt_tokens=lengths(prompt_tokens, spread=spread),
        output_tokens=lengths(output_tokens, spread=spread),
    )
