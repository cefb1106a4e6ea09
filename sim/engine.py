"""The scheduler of one replica, as plain data: engines and versions differ by data, not by code."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Order = Literal["fcfs", "priority", "shortest"]


@dataclass(frozen=True)
class EngineRules:
    """Rules and limits of an engine.

    Attributes:
        max_seqs: most running sequences.
        max_batch_tokens: token budget of a step.
        max_model_tokens: prompt + output of a request may not exceed this; longer ones are
            rejected.
        block_tokens: tokens of a KV-cache block.
        blocks: KV-cache blocks of the replica (its worst stage).
        sequence_blocks: blocks that each running sequence holds beside its tokens (recurrent
            state).
        token_blocks: blocks for each `block_tokens` tokens: 1, or 0 where no layer keeps them all.
        window_limit: sliding-window layers keep at most so many times `block_tokens` tokens.
        window_ppm: what they take for each, in millionths of a block. A sequence takes at its
            admission all that they will ever hold for it.
        chunked_prefill: a prompt may run in several steps.
        async_scheduling: a step is scheduled while the previous one runs, so it sees arrivals up
            to that one's start, and what it frees a step late. A pipeline ignores it.
        full_sequence_gate: admission needs free blocks for the whole prompt, not for the chunk
            alone.
        request_overhead_ns: time of a request outside the scheduler, before it is queued.
        order: of the queue: as they came; by `Load.priority`; by prompt length.
        prefill_first: while a prompt can run, a step runs prompts only (vLLM V0, SGLang).
        watermark_blocks: blocks that stay free after an admission.
        reserve_output: a sequence takes at its admission all the blocks it will ever need, so
            that none is preempted (TensorRT-LLM, GUARANTEED_NO_EVICT).
        owed_ppm: share, in millionths, of the tokens that running sequences have still to sample
            for which admission keeps blocks (SGLang, new-token ratio); 0: none.
        owed_least_ppm: it sinks to this share,
        owed_decay_ppm: by so much with each step without prompts.
        retract_fewest: what gives way is the sequence with the fewest tokens sampled (SGLang), not
            the last admitted.
        prefix_caching: full blocks stay in the cache until their place is needed.
        host_blocks: blocks of host memory that keep what the cache has lost; 0: none.
        host_block_ns: time to fetch one of them, part of the step that needs it.
        drafts: tokens guessed ahead for each decoding sequence in each step; 0: none.
        acceptance_ppm: chance, in millionths, that a guess is right if those before it were.
        seed: of the guesses.
        cross_cache: what the encoder has read stays: a sequence holds blocks of it too, and reads
            it in every step, as cached tokens (encoder-decoder models).
        max_encoder_tokens: requests for which the encoder reads more are rejected; 0: no limit.
    """

    max_seqs: int
    max_batch_tokens: int
    max_model_tokens: int
    block_tokens: int
    blocks: int
    sequence_blocks: int = 0
    token_blocks: int = 1
    window_limit: int = 0
    window_ppm: int = 0
    chunked_prefill: bool = True
    async_scheduling: bool = False
    full_sequence_gate: bool = True
    request_overhead_ns: int = 0
    order: Order = "fcfs"
    prefill_first: bool = False
    watermark_blocks: int = 0
    reserve_output: bool = False
    owed_ppm: int = 0
    owed_least_ppm: int = 0
    owed_decay_ppm: int = 0
    retract_fewest: bool = False
    prefix_caching: bool = False
    host_blocks: int = 0
    host_block_ns: int = 0
    drafts: int = 0
    acceptance_ppm: int = 0
    seed: int = 0
    cross_cache: bool = False
    max_encoder_tokens: int = 0
