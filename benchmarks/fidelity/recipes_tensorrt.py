"""Settings of TensorRT-LLM in runs of InferenceX: budgets, tokens guessed ahead, attention ranks.

Source: SemiAnalysisAI/InferenceX, `dsr1_fp4_b200_trt.sh`, `dsr1_fp8_b200_trt.sh`, the same of H200
and with `_mtp`, `gptoss_fp4_h200_trt.sh`, and the points that `nvidia-master.yaml` lists for each.
"""

from __future__ import annotations

from dataclasses import replace

from benchmarks.fidelity.case import Case
from benchmarks.fidelity.clients import total
from benchmarks.fidelity.degrees import Degrees, counted_once, degrees
from benchmarks.fidelity.recipe import Recipe

ACCEPTANCE = 0.7
"""Chance that a guess of DeepSeek's layer is right after right ones: with three guesses 2.5 tokens
a step, as is told of random prompts in a chat template and of MT-Bench (InferenceX, pull 649).
"""

BALANCED_STEPS = 60
"""`attention_dp_config`: `enable_balance`, `timeout_iters` 60."""

NODE = 8
"""More devices than this in one tensor group: a record of all workers of a GB200 system."""

ALL = (1, 1 << 30)
CHAT, LONG, CODE = (1024, 1024), (1024, 8192), (8192, 1024)

GUESSED_1_1 = {
    ("fp4", 4, False, False): {CHAT: (4, 8), LONG: (4, 16), CODE: (4, 16)},
    ("fp4", 4, True, False): {CHAT: (16, 64), LONG: (32, 64)},
    ("fp4", 4, True, True): {CHAT: (128, 256), LONG: (128, 256), CODE: (32, 256)},
    ("fp4", 8, False, False): {CHAT: (4, 8), LONG: (4, 4), CODE: (4, 16)},
    ("fp4", 8, True, False): {CHAT: (16, 32), LONG: (8, 64)},
    ("fp4", 8, True, True): {CHAT: (64, 256), LONG: (128, 256), CODE: (32, 256)},
    ("fp8", 8, True, False): {CHAT: (4, 32), LONG: (4, 64), CODE: (4, 32)},
    ("fp8", 8, True, True): {CHAT: (64, 256), LONG: (128, 256), CODE: (64, 256)},
}
"""Points on B200 that were run with guesses under 1.1.0rc2.post2, the last recipe of that image: by
weights, devices, whether experts are spread and attention has ranks; clients, from and to.
"""

RANKS_FROM = {
    ("fp4", "b200-sxm"): {CHAT: 256, LONG: 256, CODE: 33},
    ("fp8", "b200-sxm"): {CHAT: 33, LONG: 65, CODE: 65},
    ("fp8", "h200-sxm-141gb"): {CHAT: 65, LONG: 65, CODE: 33},
}
"""Clients from which the first scripts gave attention ranks: records of these, which have no
version, do not say.
"""


def recipe(case: Case, guess: Recipe) -> Recipe:
    """Return the settings of a case of InferenceX; `guess`: what is assumed of any."""
    clients = total(case.parallel, case.workload["concurrency"])
    if "gpt-oss" in case.model:
        return replace(
            guess,
            max_num_batched_tokens=20000,
            max_num_seqs=clients,
            gpu_memory_utilization=0.85,
        )
    if "deepseek" not in case.model.lower():
        return guess
    shape = counted_once(case.parallel) or degrees(case.parallel)
    ranks = _ranks(case, shape, clients)
    guesses = _guesses(case, shape, clients, ranks)
    return replace(
        guess,
        max_num_batched_tokens=_budget(case, clients, guesses, ranks),
        max_num_seqs=-(-clients // ranks) if guesses else None,
        gpu_memory_utilization=_share(case, ranks),
        guesses=guesses,
        acceptance=ACCEPTANCE if guesses else 0.0,
        ranks=ranks if ranks != shape.attention_data else None,
        balanced_steps=BALANCED_STEPS if ranks > 1 else 0,
    )


def _kind(case: Case) -> tuple[int, int]:
    return round(case.workload["prompt_tokens"]), round(case.workload["output_tokens"])


def _ranks(case: Case, shape: Degrees, clients: int) -> int:
    """Return the attention ranks: as recorded, or as a script of the time had them."""
    if shape.tensor > NODE:
        return shape.tensor
    if shape.attention_data > 1 or case.engine.get("version"):
        return shape.attention_data
    known = RANKS_FROM.get((str(case.weights), case.device), {})
    return shape.tensor if clients >= known.get(_kind(case), ALL[1]) else 1


def _guesses(case: Case, shape: Degrees, clients: int, ranks: int) -> int:
    """Return the tokens guessed in each step: 3, with attention ranks 1."""
    version = case.engine.get("version") or ""
    if shape.tensor > NODE:
        return 3 if clients < 1024 else 1
    if version == "1.2.0rc6.post3":
        return 1 if ranks > 1 else 3
    if version != "1.1.0rc2.post2" or case.device != "b200-sxm":
        return 0
    key = (str(case.weights), shape.stage_devices, shape.expert, ranks > 1)
    low, high = GUESSED_1_1.get(key, {}).get(_kind(case), (1, 0))
    return (1 if ranks > 1 else 3) if low <= clients <= high else 0


def _budget(case: Case, clients: int, guesses: int, ranks: int) -> int:
    """Return `max_num_tokens`: one prompt and the decoding sequences; later 8,192 at least."""
    running = (guesses + 1) * -(-clients // ranks) if guesses else clients
    tokens = (running + _kind(case)[0] + 127) // 64 * 64
    later = str(case.engine.get("version") or "")[:3] in {"1.2", "1.3"}
    return max(tokens, 8192) if later and not guesses else tokens


def _share(case: Case, ranks: int) -> float:
    """Return `free_gpu_memory_fraction`."""
    if case.device == "h200-sxm-141gb":
        return 0.75
    return 0.7 if case.weights == "fp8" and ranks > 1 else 0.8
