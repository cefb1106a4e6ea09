"""The scheduler settings of one replica, as plain data: versions differ by data, not by code."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class EngineRules:
    """Rules and limits of an engine of the vLLM V1 family.

    Attributes:
        max_seqs: most running sequences.
        max_batch_tokens: token budget of a step.
        max_model_tokens: prompt + output of a request may not exceed this; longer ones are
            rejected.
        block_tokens: tokens of a KV-cache block.
        blocks: KV-cache blocks of the replica (its worst stage).
        sequence_blocks: blocks that each running sequence holds beside its tokens (recurrent
            state).
        chunked_prefill: a prompt may run in several steps.
        async_scheduling: a step is scheduled while the previous one runs, so it sees arrivals up
            to that one's start, and what it frees a step late. A pipeline ignores it.
        full_sequence_gate: admission needs free blocks for the whole prompt, not for the chunk
            alone.
        request_overhead_ns: time of a request outside the scheduler, before it is queued.
    """

    max_seqs: int
    max_batch_tokens: int
    max_model_tokens: int
    block_tokens: int
    blocks: int
    sequence_blocks: int = 0
    chunked_prefill: bool = True
    async_scheduling: bool = False
    full_sequence_gate: bool = True
    request_overhead_ns: int = 0
