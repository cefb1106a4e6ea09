"""The engine's settings: what a spec leaves open is filled in as that version would."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

from apex_opt.cost.drafts import drafts_of
from apex_opt.cost.shape import Settings, Shape, graph_tokens
from apex_opt.plan.result import EngineSettings
from apex_opt.spec.engine import Engine, EngineRelease
from apex_opt.spec.model import Model
from apex_opt.spec.pools import Pool
from apex_opt.spec.spec import Spec

GIB, MIB = 2**30, 2**20
WHOLE_PROMPTS_TOKENS = 2048
"""Least budget where prompts are not cut: vLLM, vllm/config.py, `SchedulerConfig` (0.6.0)."""


def batch_default(release: EngineRelease, pool: Pool) -> tuple[int, int]:
    """Return the default token budget and most sequences of an engine on a device."""
    memory_gib = pool.device.memory_bytes / GIB
    entry = max(
        (
            d
            for d in release.batch_defaults
            if memory_gib >= d.min_memory_gib and pool.device.name not in d.except_devices
        ),
        key=lambda d: d.min_memory_gib,
    )
    return entry.max_num_batched_tokens, entry.max_num_seqs


def chunked(engine: Engine, release: EngineRelease, model: Model, model_len: int) -> bool:
    """Return whether prompts run in chunks; those of encoder-decoder models never do."""
    if model.encoder is not None:
        return False
    if engine.chunked_prefill is not None:
        return engine.chunked_prefill
    return release.chunked_prefill and model_len > (release.chunked_above_tokens or 0)


def caching(engine: Engine, release: EngineRelease, model: Model, model_len: int) -> bool:
    """Return whether blocks of prompts are kept.

    Where they are not asked for they are kept only if no layer forgets tokens: recurrent layers
    have a state in place of blocks, and where all layers have windows, these alone are held. Those
    of encoder-decoder models are not: they hang on what the encoder has read.
    """
    if engine.prefix_caching is not None:
        return engine.prefix_caching
    kinds = [kind.attention for kind in model.layers.values()]
    short = [a.kind == "softmax" and (a.window_tokens or model_len) < model_len for a in kinds]
    recurrent = any(a.kind == "linear" for a in kinds)
    plain = model.encoder is None and not recurrent and not all(short)
    return release.prefix_caching and plain


def overlapped(engine: Engine, release: EngineRelease) -> bool:
    """Return whether steps are scheduled ahead; with n-grams the tokens so far must be known.

    Source: vLLM, vllm/config/vllm.py: async scheduling is off by default with such methods.
    """
    if engine.async_scheduling is not None:
        return engine.async_scheduling
    ngram = engine.speculation is not None and engine.speculation.method == "ngram"
    return release.async_scheduling and not ngram


def overlap(engine: Engine, release: EngineRelease) -> float:
    """Return the share of an all-reduce that hides behind what feeds it."""
    asked = engine.collective_overlap
    return release.collective_overlap if asked is None else asked


def tokens_each(engine: Engine) -> int:
    """Return the tokens that a decoding sequence runs in a step, guesses and all."""
    return 1 + (engine.speculation.tokens if engine.speculation else 0)


def batches(
    engine: Engine, default: tuple[int, int], whole: int | None
) -> Iterator[tuple[int, int]]:
    """Yield most sequences and token budgets to try; what is not said is fitted to what is.

    Args:
        engine: as the spec has it.
        default: budget and sequences of the engine on the device.
        whole: tokens of the longest prompt, where prompts are not cut.
    """
    budget, seqs = default
    if whole is not None:
        budget = max(budget, whole, WHOLE_PROMPTS_TOKENS)
    for max_seqs, tokens in product(
        engine.max_num_seqs or (seqs,), engine.max_num_batched_tokens or (budget,)
    ):
        fitting = max(min(max_seqs, tokens // tokens_each(engine)), 1)
        yield max_seqs if engine.max_num_seqs else fitting, tokens


def settings(
    spec: Spec, pool: Pool, release: EngineRelease, longest_tokens: int
) -> Iterator[Settings]:
    """Yield the engine settings to try, defaults filled in and fitted to what is named.

    `max_model_len` that is not said is the longest request of the traffic, in whole blocks, so that
    the cache need not hold the model's longest context.
    """
    engine = spec.engine
    block = engine.block_size or release.block_size
    longest = min(spec.model.max_context, -(-longest_tokens // block) * block)
    model_len = engine.max_model_len or longest
    in_chunks = chunked(engine, release, spec.model, model_len)
    encoder_tokens = longest_input(spec.model)
    drafts = drafts_of(engine.speculation, spec.model)
    each = tokens_each(engine)
    whole = None if in_chunks else max(model_len, encoder_tokens)
    for sequences, tokens in batches(engine, batch_default(release, pool), whole):
        graphs = graph_tokens(release, sequences, tokens, each) if engine.cuda_graphs else 0
        yield Settings(
            version=engine.version or release.version,
            max_num_seqs=sequences,
            max_num_batched_tokens=tokens,
            max_model_len=model_len,
            block_size=block,
            gpu_memory_utilization=engine.gpu_memory_utilization or release.memory_utilization,
            chunked_prefill=in_chunks,
            async_scheduling=overlapped(engine, release),
            graph_tokens=graphs,
            num_gpu_blocks=engine.num_gpu_blocks,
            engine=engine.name,
            prefix_caching=caching(engine, release, spec.model, model_len),
            policy=engine.scheduling_policy,
            mixed_chunk=bool(engine.enable_mixed_chunk),
            conservativeness=engine.schedule_conservativeness or 1.0,
            drafts=drafts,
            kv_offload_bytes=int((engine.kv_offload_gib_per_device or 0.0) * GIB),
            weight_offload=engine.weight_offload,
            expert_offload=engine.expert_offload,
            collective_overlap=overlap(engine, release),
            max_encoder_tokens=encoder_tokens,
            encoder_by_data=engine.mm_encoder_tp_mode == "data",
        )


def longest_input(model: Model) -> int:
    """Return the longest input of an encoder-decoder model's encoder, tokens; 0: it has none."""
    if model.encoder is None:
        return 0
    return model.encoder.tokens or model.max_context


def own_share(engine: Engine, release: EngineRelease, shape: Shape) -> float:
    """Return the share of memory that an engine takes.

    SGLang leaves 512 MB, 1.5 MB for each token of a chunk, 128 MB for each device of the replica
    and 2 MB for each sequence of its largest CUDA graph, if nothing is said.

    Source: SGLang 0.5.23, server_args.py `_handle_gpu_memory_settings`.
    """
    if engine.gpu_memory_utilization is not None:
        return engine.gpu_memory_utilization
    if release.memory_rule != "static":
        return release.memory_utilization
    chosen, total = shape.settings, shape.pool.device.memory_bytes
    kept = 512 + 1.5 * max(chosen.max_num_batched_tokens, 2048)
    kept += 128 * shape.devices + 2 * (chosen.graph_tokens // tokens_each(engine))
    return max(min(1.0 - kept * MIB / total, release.memory_utilization), 0.01)


def shown(chosen: Settings, pipeline: int) -> EngineSettings:
    """Return the settings as a plan tells them; a pipeline schedules no step ahead."""
    return EngineSettings(
        name=chosen.engine,
        version=chosen.version,
        max_num_seqs=chosen.max_num_seqs,
        max_num_batched_tokens=chosen.max_num_batched_tokens,
        max_model_len=chosen.max_model_len,
        block_size=chosen.block_size,
        gpu_memory_utilization=chosen.gpu_memory_utilization,
        chunked_prefill=chosen.chunked_prefill,
        prefix_caching=chosen.prefix_caching,
        async_scheduling=chosen.async_scheduling and pipeline == 1,
        cuda_graphs=chosen.graph_tokens > 0,
        scheduling_policy=chosen.policy,
        enable_mixed_chunk=chosen.mixed_chunk,
        schedule_conservativeness=chosen.conservativeness,
        speculation=chosen.drafts.asked if chosen.drafts else None,
        kv_offload_gib_per_device=chosen.kv_offload_bytes / GIB or None,
        weight_offload=chosen.weight_offload,
        expert_offload=chosen.expert_offload,
        collective_overlap=chosen.collective_overlap,
        max_encoder_tokens=chosen.max_encoder_tokens,
        mm_encoder_tp_mode="data" if chosen.encoder_by_data else "weights",
    )
