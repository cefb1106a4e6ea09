"""The scheduler of each engine, as data for the simulator.

vllm-v1        the simulator's own rules: running sequences first, one budget
vllm-v0        prompts before decoding steps unless prompts are cut; 1 % of the blocks stay free
               after an admission (vllm/core/scheduler.py, block_manager_v2.py: watermark 0.01)
sglang         prompts before decoding steps unless chunks are mixed in; room is kept for a share
               of the outputs under way, 0.7 x conservativeness, which sinks over 600 steps
               without prompts to 0.14 of that; what gives way is the sequence with the fewest
               tokens (srt/managers/scheduler.py `init_new_token_ratio`, global_config.py,
               schedule_batch.py `retract_decode`)
tensorrt-llm   a sequence is admitted with all the blocks that it will ever need
               (documentation, capacity scheduler GUARANTEED_NO_EVICT)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from apex_opt.cost.memory import Fit
from apex_opt.cost.offload import host_block_ns
from apex_opt.cost.shape import Settings, Shape
from apex_opt.sim.engine import EngineRules
from apex_opt.spec.engine import Scheduler

NS_PER_MS = 1_000_000
PPM = 1_000_000
WATERMARK = 0.01
OWED = 0.7
OWED_LEAST = 0.14
OWED_STEPS = 600


def rules(shape: Shape, fit: Fit) -> EngineRules:
    """Return how the engine of a replica schedules.

    Raises:
        ValueError: KV blocks move to host memory, and the device's link to it is unknown.
    """
    chosen, release, cut = shape.settings, shape.release, fit.paging
    guessed = chosen.drafts.asked if chosen.drafts else None
    return EngineRules(
        max_seqs=chosen.max_num_seqs,
        max_batch_tokens=chosen.max_num_batched_tokens,
        max_model_tokens=chosen.max_model_len,
        block_tokens=shape.block_tokens,
        blocks=fit.blocks,
        sequence_blocks=cut.sequence_blocks,
        token_blocks=cut.token_blocks,
        window_limit=cut.window_limit,
        window_ppm=cut.window_ppm,
        chunked_prefill=chosen.chunked_prefill,
        async_scheduling=chosen.async_scheduling,
        full_sequence_gate=release.full_sequence_gate,
        request_overhead_ns=round(release.overheads.request_ms * NS_PER_MS),
        order=chosen.policy,
        prefix_caching=chosen.prefix_caching,
        drafts=guessed.tokens if guessed else 0,
        acceptance_ppm=round(guessed.acceptance * PPM) if guessed else 0,
        cross_cache=shape.model.encoder is not None,
        max_encoder_tokens=chosen.max_encoder_tokens,
        **_host(shape, fit),
        **OWN[release.scheduler](chosen, fit),
    )


def _host(shape: Shape, fit: Fit) -> dict[str, Any]:
    """Return the rules of what host memory keeps of lost blocks."""
    kept = shape.settings.kv_offload_bytes // fit.paging.page
    if not kept:
        return {}
    slowest = max(host_block_ns(pool, fit.paging.page) for pool, _ in shape.pools())
    return {"host_blocks": kept, "host_block_ns": slowest}


def _vllm_v1(_: Settings, __: Fit) -> dict[str, Any]:
    return {}


def _vllm_v0(chosen: Settings, fit: Fit) -> dict[str, Any]:
    return {
        "prefill_first": not chosen.chunked_prefill,
        "watermark_blocks": int(WATERMARK * fit.blocks),
    }


def _sglang(chosen: Settings, _: Fit) -> dict[str, Any]:
    owed = min(OWED * chosen.conservativeness, 1.0)
    least = owed * OWED_LEAST
    return {
        "prefill_first": not chosen.mixed_chunk,
        "owed_ppm": max(round(owed * PPM), 1),
        "owed_least_ppm": round(least * PPM),
        "owed_decay_ppm": round((owed - least) / OWED_STEPS * PPM),
        "retract_fewest": True,
    }


def _tensorrt_llm(_: Settings, __: Fit) -> dict[str, Any]:
    return {"reserve_output": True}


OWN: dict[Scheduler, Callable[[Settings, Fit], dict[str, Any]]] = {
    "vllm-v0": _vllm_v0,
    "vllm-v1": _vllm_v1,
    "sglang": _sglang,
    "tensorrt-llm": _tensorrt_llm,
}
"""The rules in which each scheduler differs."""
