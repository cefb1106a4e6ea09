"""Which replicas an engine can start: one rule a function, each yields why a shape is not legal.

A rule's docstring is the rule. Reasons are whole sentences in the user's words, so that they can be
counted, shown and, later, relaxed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Literal

from apex_opt.cost.encoder import encoder_shape
from apex_opt.cost.memory import Fit
from apex_opt.cost.operators import SLICED_BY_BLOCK
from apex_opt.cost.rates import compute_precision
from apex_opt.cost.shape import Shape
from apex_opt.plan.contexts import contexts_are_spread
from apex_opt.spec.model import (
    DenseFfn,
    LatentAttention,
    LayerKind,
    LinearAttention,
    SoftmaxAttention,
)

Rule = Callable[[Shape], Iterator[str]]


def _kinds(shape: Shape) -> Iterator[LayerKind]:
    yield from shape.model.layers.values()


def heads_divide(shape: Shape) -> Iterator[str]:
    """Attention heads are a multiple of TP; a state space may have one group, which is copied.

    Source: vLLM ModelConfig.verify_with_parallel_config, an error at start;
    vllm/model_executor/layers/mamba/mamba_mixer2.py.
    """
    for kind in _kinds(shape):
        a = kind.attention
        names = (
            {"key": a.key_heads, "value": a.value_heads}
            if isinstance(a, LinearAttention)
            else {"query": a.heads}
        )
        for name, heads in names.items():
            copied = name == "key" and heads == 1 and a.kind == "linear" and a.update == "decay"
            if heads % shape.tensor and not copied:
                yield f"{heads} {name} heads do not divide by tensor = {shape.tensor}"


def kv_heads_divide(shape: Shape) -> Iterator[str]:
    """Key-value heads are a multiple of TP, or TP is a multiple of them (then they are copied).

    Source: vLLM model code, e.g. LlamaAttention's assertions.
    """
    for kind in _kinds(shape):
        a = kind.attention
        if not isinstance(a, SoftmaxAttention):
            continue
        if a.kv_heads % shape.tensor and shape.tensor % a.kv_heads:
            yield f"{a.kv_heads} key-value heads and tensor = {shape.tensor} do not divide"


def widths_divide(shape: Shape) -> Iterator[str]:
    """Intermediate widths that are split over TP are a multiple of it."""
    for kind in _kinds(shape):
        for width, devices in _split_widths(kind, shape):
            if width % devices:
                yield f"width {width} does not divide by {_over(shape, devices)}"


def _split_widths(kind: LayerKind, shape: Shape) -> Iterator[tuple[int, int]]:
    """Yield widths that are split, and over how many devices."""
    f = kind.ffn
    if isinstance(f, DenseFfn):
        yield f.width, shape.tensor
        return
    yield from ((w, shape.tensor) for w in (f.shared_width, f.dense_width) if w)
    if shape.expert == 1 and shape.weights.name not in SLICED_BY_BLOCK:
        yield f.width, shape.stage_devices


def _over(shape: Shape, devices: int) -> str:
    ranks = " x attention_data" if devices > shape.tensor else ""
    return f"tensor{ranks} = {devices}"


def encoder_divides(shape: Shape) -> Iterator[str]:
    """Heads and widths of an encoder are a multiple of the devices over which it is split.

    Sources: TensorRT-LLM documentation, models/encoder-decoder; vLLM, models/vision.py and
    layers/linear.py, an assertion.
    """
    small = encoder_shape(shape)
    if small is None:
        return
    for kind in small.model.layers.values():
        a, f = kind.attention, kind.ffn
        if isinstance(a, SoftmaxAttention) and a.heads % small.tensor:
            yield f"{a.heads} heads of the encoder do not divide by tensor = {small.tensor}"
        if isinstance(f, DenseFfn) and f.width % small.tensor:
            yield f"width {f.width} of the encoder does not divide by tensor = {small.tensor}"


READS = {
    "prompt": "whose encoder reads the prompt, as that of T5",
    "fixed": "whose encoder reads a fixed input, as that of Whisper",
}


def encoder_decoders_are_served(shape: Shape) -> Iterator[str]:
    """The engine serves encoder-decoder models of this kind, none of them in a pipeline.

    Sources: TensorRT-LLM documentation, models/encoder-decoder (T5, BART and Whisper; no pipeline
    parallelism); vLLM, pull 24907 (what V0 had, BART among it, is gone) and models/whisper.py (no
    `SupportsPP`); SGLang, srt/models/whisper.py.
    """
    model, chosen = shape.model, shape.settings
    if model.encoder is None:
        return
    kind: Literal["prompt", "fixed"] = "prompt" if model.reads_prompt else "fixed"
    if kind not in shape.release.encoders:
        yield f"{chosen.engine} {chosen.version} serves no model {READS[kind]}"
    if shape.pipeline > 1:
        yield f"an encoder-decoder model stands on one stage, not pipeline = {shape.pipeline}"


def experts_spread(shape: Shape) -> Iterator[str]:
    """Expert parallelism takes the whole stage, and needs an expert for each device.

    Sources: vLLM `--enable-expert-parallel`: EP = TP x DP; experts need not divide. In SGLang they
    must (0.5.23, an assertion), and in TensorRT-LLM (documentation).
    """
    if shape.expert == 1:
        return
    if shape.expert != shape.stage_devices:
        whole = _over(shape, shape.stage_devices)
        yield f"expert = {shape.expert} is neither 1 nor {whole}"
    counts = [k.ffn.experts for k in _kinds(shape) if k.ffn.kind == "moe"]
    if not counts:
        yield "expert parallelism needs a mixture of experts"
    elif min(counts) < shape.expert:
        yield f"{min(counts)} experts are fewer than expert = {shape.expert}"
    elif shape.settings.engine != "vllm" and any(n % shape.expert for n in counts):
        uneven, engine = next(n for n in counts if n % shape.expert), shape.settings.engine
        yield f"{uneven} experts do not divide by expert = {shape.expert} in {engine}"


def ranks_share_experts(shape: Shape) -> Iterator[str]:
    """Attention-data-parallel ranks have experts to share, stages have not.

    Source: vLLM docs, data-parallel deployment: ranks of a dense model are replicas of their own.
    That ranks stand in no pipeline is a limit of the simulator.
    """
    if shape.attention_data == 1:
        return
    if all(k.ffn.kind != "moe" for k in _kinds(shape)):
        yield f"attention_data = {shape.attention_data} needs a mixture of experts to share"
    if shape.pipeline > 1:
        degrees = f"attention_data = {shape.attention_data} and pipeline = {shape.pipeline}"
        yield f"{degrees} exclude each other"
    if shape.release.scheduler == "vllm-v0":
        yield f"vllm {shape.settings.version} knows no attention_data"


def scales_divide(shape: Shape) -> Iterator[str]:
    """A dimension that TP splits holds whole blocks (or groups) of quantization scales.

    Source: vLLM fp8_utils.py validate_fp8_block_shape; marlin_utils.py for groups.
    """
    unit = shape.weights.block or shape.weights.group
    if unit is None or shape.stage_devices == 1:
        return
    for kind in _kinds(shape):
        widths = list(_split_widths(kind, shape)) if _covers(shape, kind) else []
        a = kind.attention
        if shape.weights.applies_to != "experts":
            if isinstance(a, SoftmaxAttention):
                widths.append((a.heads * (a.value_dim or a.head_dim), shape.tensor))
            elif isinstance(a, LatentAttention):
                widths.append((a.heads * a.value_dim, shape.tensor))
        for width, devices in widths:
            if devices > 1 and (width // devices) % unit:
                yield (
                    f"{shape.weights.name} scales cover {unit} channels, "
                    f"{_over(shape, devices)} leaves {width // devices}"
                )


def _covers(shape: Shape, kind: LayerKind) -> bool:
    return shape.weights.applies_to != "experts" or kind.ffn.kind == "moe"


def formats_run(shape: Shape) -> Iterator[str]:
    """Device and model know the formats: the precision is there, experts are there."""
    needs = shape.kv_cache.needs
    for pool, _ in shape.pools():
        device = pool.device
        if compute_precision(device, shape.weights) is None:
            yield f"{device.name} does not compute in {shape.weights.name}"
        if needs is not None and needs not in device.peak_tflops:
            yield f"{device.name} does not hold a KV cache in {shape.kv_cache.name}"
    dense = all(k.ffn.kind != "moe" for k in _kinds(shape))
    if dense and shape.weights.applies_to == "experts":
        yield f"{shape.weights.name} is a format of experts, the model has none"


def groups_stand(shape: Shape) -> Iterator[str]:
    """The devices of a stage stand inside one node, or take whole nodes.

    Of several ranks each stands inside one node, and they take several nodes only where whole
    experts are spread over them.

    Source: vLLM docs, data-parallel deployment and expert-parallel deployment: ranks of each node
    are started there, and many nodes share experts by expert parallelism.
    """
    node, devices = shape.pool.node_devices, shape.stage_devices
    for pool, _ in shape.pools():
        if devices > pool.node_devices and devices % pool.node_devices:
            whole = _over(shape, devices)
            yield f"{whole} neither fits a node of {pool.node_devices} nor takes whole nodes"
    if shape.attention_data > 1 and node % shape.tensor and devices > node:
        yield f"ranks of tensor = {shape.tensor} do not divide a node of {node}"
    if shape.attention_data > 1 and devices > node and shape.expert == 1:
        yield f"{_over(shape, devices)} spans nodes of {node}, which takes expert = {devices}"
    for pool, stages in shape.pools():
        taken = stages * devices
        if taken > pool.devices:
            has = f"the {pool.devices:,} of pool `{pool.name}`"
            yield f"{taken:,} devices a replica are more than {has}"


def stages_hold(shape: Shape) -> Iterator[str]:
    """Every pipeline stage holds a layer."""
    layers = len(shape.model.sequence())
    if shape.pipeline > layers:
        yield f"pipeline = {shape.pipeline} is more than the model's {layers} layers"


def steps_hold(shape: Shape) -> Iterator[str]:
    """A step has a token for each sequence and, without chunked prefill, room for any prompt.

    Each token that is guessed ahead is one more. TensorRT-LLM starts all the same, and refuses
    prompts that are longer than a step when they come.

    Source: vLLM, vllm/config/scheduler.py, `SchedulerConfig`, an error at start.
    """
    s = shape.settings
    budget = f"max_num_batched_tokens = {s.max_num_batched_tokens:,}"
    if s.max_num_batched_tokens < s.rows:
        each = f" with {s.rows // s.max_num_seqs} tokens each" if s.drafts else ""
        yield f"max_num_seqs = {s.max_num_seqs:,}{each} is more than {budget}"
    late = s.chunked_prefill or s.engine == "tensorrt-llm"
    if not late and s.max_num_batched_tokens < s.max_model_len:
        yield f"{budget} takes no prompt of {s.max_model_len:,} tokens without chunked prefill"
    # TensorRT-LLM documentation: whole inputs fit the budget; vLLM makes an exception for one.
    if s.engine != "vllm" and s.max_num_batched_tokens < s.max_encoder_tokens:
        yield f"{budget} takes no encoder input of {s.max_encoder_tokens:,} tokens"


def guesses_stand_on_one_stage(shape: Shape) -> Iterator[str]:
    """Tokens are guessed ahead in no pipeline.

    Source: vLLM issues 14089 and 57755 (0.29 does not start so); SGLang, TensorRT-LLM: not said.
    """
    if shape.settings.drafts is not None and shape.pipeline > 1:
        yield f"speculation and pipeline = {shape.pipeline} exclude each other"


def guesses_are_known(shape: Shape) -> Iterator[str]:
    """VLLM V0 guesses by n-grams or a draft model, and not beside chunked prefill.

    Source: vLLM 0.6.0, vllm/spec_decode and vllm/config.py, `SpeculativeConfig.maybe_create_spec_
    config`, an error at start.
    """
    chosen = shape.settings
    if chosen.drafts is None or shape.release.scheduler != "vllm-v0":
        return
    if chosen.drafts.layer:
        yield f"vllm {chosen.version} knows no speculation by {chosen.drafts.asked.method}"
    if chosen.chunked_prefill:
        yield f"speculation and chunked prefill exclude each other in vllm {chosen.version}"


RULES: tuple[Rule, ...] = (
    encoder_decoders_are_served,
    steps_hold,
    guesses_stand_on_one_stage,
    guesses_are_known,
    stages_hold,
    groups_stand,
    formats_run,
    heads_divide,
    kv_heads_divide,
    contexts_are_spread,
    widths_divide,
    encoder_divides,
    experts_spread,
    ranks_share_experts,
    scales_divide,
)


def why_not(shape: Shape) -> str | None:
    """Return the first reason why an engine cannot start this replica, None if it can."""
    return next((reason for rule in RULES for reason in rule(shape)), None)


def why_no_room(shape: Shape, fit: Fit) -> str | None:
    """Return why memory does not suffice for weights, buffers and the longest request's cache.

    Source: vLLM refuses to start when one request of max_model_len does not fit the KV cache.
    """
    ranks = f" DP{shape.attention_data}" if shape.attention_data > 1 else ""
    spread = f" CP{shape.context}" if shape.context > 1 else ""
    label = f"TP{shape.tensor}{ranks}{spread} PP{shape.pipeline} {shape.weights.name}"
    if fit.memory.room <= 0:
        short = -fit.memory.room / 1e9
        weights, total = fit.memory.weights / 1e9, fit.memory.total / 1e9
        return (
            f"{label}: weights of {weights:.1f} GB leave {short:.1f} GB too little "
            f"on a device of {total:.1f} GB"
        )
    needed = fit.paging.needed(shape.settings.max_model_len, shape.block_tokens)
    if fit.blocks < needed:
        held = fit.blocks * shape.block_tokens
        longest = shape.settings.max_model_len + shape.settings.max_encoder_tokens
        return f"{label}: the KV cache holds {held:,} tokens, the longest request needs {longest:,}"
    return None
