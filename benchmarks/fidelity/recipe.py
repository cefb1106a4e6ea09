"""What a launch script sets that a case file does not say."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Recipe:
    """Settings of a run; None: the engine's default.

    Attributes:
        max_num_batched_tokens, max_num_seqs, gpu_memory_utilization: as of a spec's engine.
        graph_tokens, graph_sequences: largest batch in a CUDA graph, of vLLM in tokens, of others
            in decoding sequences, each with its guesses.
        kv_cache: format of the cache, where the case does not say.
        guesses: tokens that are guessed ahead in each step by the model's own layer; 0: none.
        acceptance: chance that a guess is right if those before it were.
        ranks: attention ranks, where the case does not tell them from a tensor group; None: as
            written.
        spread: whole experts are spread over the devices of a stage; None: as written.
        polled_steps: steps between two looks for new requests.
        gathered_steps, gathered_share: steps for which prompts wait, until a step would have so
            great a share of its budget.
        balanced_steps: steps for which ranks wait until all of them have a prompt; 0: none do.
    """

    max_num_batched_tokens: int | None = None
    max_num_seqs: int | None = None
    gpu_memory_utilization: float | None = None
    graph_tokens: int | None = None
    graph_sequences: int | None = None
    kv_cache: str = "bf16"
    guesses: int = 0
    acceptance: float = 0.0
    ranks: int | None = None
    spread: bool | None = None
    polled_steps: int = 0
    gathered_steps: int = 0
    gathered_share: float = 0.0
    balanced_steps: int = 0


DEFAULTS = Recipe()
