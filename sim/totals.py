"""What replicas did in all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Totals:
    """What a replica did in all.

    Attributes:
        steps: batches.
        busy_ns: time during which any batch was in a stage or between two.
        prompt_tokens: prompt tokens computed, those of recomputation included.
        decode_tokens: tokens of decoding sequences computed.
        rows: tokens sampled.
        context: sum over steps of the context C of `steps.StepTable`.
        pairs: sum over steps of the query-key pairs Q.
        hit_tokens: prompt tokens found in the cache of prefixes.
        loaded_blocks: of them, blocks fetched from host memory.
        encoder_tokens: tokens that the encoder read, those of recomputation included.
        encoder_pairs: sum of the squares of what it read for each request.
        energy_j: energy of the batches, above idle as in the table.
        peak_w: largest power above idle. A batch spends its energy evenly over the time from the
            first stage to the last hop; those of a pipeline that are in flight together add up. So
            no mean over any time is above it.
        block_ns: integral of blocks in use over time.
        peak_blocks: most blocks in use while a batch was scheduled.
        preemptions: sequences preempted.
        max_queue: most requests waiting when a batch was scheduled, before any was admitted.
        end_ns: end of the last batch.
    """

    steps: int
    busy_ns: int
    prompt_tokens: int
    decode_tokens: int
    rows: int
    context: int
    pairs: int
    energy_j: float
    peak_w: float
    block_ns: float
    peak_blocks: int
    preemptions: int
    max_queue: int
    end_ns: int
    hit_tokens: int = 0
    loaded_blocks: int = 0
    encoder_tokens: int = 0
    encoder_pairs: int = 0


def add(parts: Sequence[Totals]) -> Totals:
    """Return the totals of several replicas together.

    Counts, times of work and energies add up. So do peaks of power: an upper bound, met if all
    replicas peak at once. Of blocks, queues and ends the largest of one replica stands.
    """
    return Totals(
        steps=sum(part.steps for part in parts),
        busy_ns=sum(part.busy_ns for part in parts),
        prompt_tokens=sum(part.prompt_tokens for part in parts),
        decode_tokens=sum(part.decode_tokens for part in parts),
        rows=sum(part.rows for part in parts),
        context=sum(part.context for part in parts),
        pairs=sum(part.pairs for part in parts),
        energy_j=sum(part.energy_j for part in parts),
        peak_w=sum(part.peak_w for part in parts),
        block_ns=sum(part.block_ns for part in parts),
        peak_blocks=max((part.peak_blocks for part in parts), default=0),
        preemptions=sum(part.preemptions for part in parts),
        max_queue=max((part.max_queue for part in parts), default=0),
        end_ns=max((part.end_ns for part in parts), default=0),
        hit_tokens=sum(part.hit_tokens for part in parts),
        loaded_blocks=sum(part.loaded_blocks for part in parts),
        encoder_tokens=sum(part.encoder_tokens for part in parts),
        encoder_pairs=sum(part.encoder_pairs for part in parts),
    )
