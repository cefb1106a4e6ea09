"""Settings that closed-loop files leave open, as the launch scripts of their benchmark have them.

Case files of closed loops state no settings. Runs with 1,024 or 8,192 tokens in and out are of the
workloads of InferenceX, whose launch scripts are public. What the script of such a run's engine,
model and device sets is assumed here (`scripts.toml`), whatever the file; where no script is known,
the engine's defaults. Of other closed loops only the cache is guessed: 8 bits where the weights
have 8 or 4, but not on H100.
"""

from __future__ import annotations

from dataclasses import replace

from benchmarks.fidelity.case import Case
from benchmarks.fidelity.clients import WORKLOADS
from benchmarks.fidelity.recipe import DEFAULTS, Recipe
from benchmarks.fidelity.scripts import facts, follow

SIXTEEN_BITS = {"bf16", "fp16", "mxfp4"}

ACCEPTANCE = 0.7
"""Chance that a guess of DeepSeek's layer is right after right ones: with three guesses 2.5 tokens
a step, as is told of random prompts in a chat template and of MT-Bench (InferenceX, pull 649).
"""


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
    found = follow(facts(case, weights), guess)
    return replace(found, acceptance=ACCEPTANCE) if found.guesses else found
