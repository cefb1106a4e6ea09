"""The serving engine: its name, its version, and the scheduler settings that a spec may choose."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from apex_opt.spec.speculation import Speculation
from apex_opt.spec.table import Choice, Count, Fraction, Name, NonNegative, Positive, Table

EngineName = Literal["vllm", "sglang", "tensorrt-llm"]
Scheduler = Literal["vllm-v0", "vllm-v1", "sglang", "tensorrt-llm"]
Policy = Literal["fcfs", "priority", "shortest"]
Share = Annotated[float, Field(ge=0, lt=1)]


class BatchDefault(Table):
    """Batch limits that an engine takes by default on devices with at least `min_memory_gib`."""

    min_memory_gib: NonNegative
    except_devices: tuple[Name, ...] = ()
    max_num_batched_tokens: Count
    max_num_seqs: Count


class Overheads(Table):
    """Time that the engine itself takes, beside the kernels."""

    step_us: NonNegative = Field(description="Per step.")
    sequence_us: NonNegative = Field(description="Per step and sequence in the batch.")
    eager_layer_us: NonNegative = Field(description="Per layer, in a step outside CUDA graphs.")
    host_layer_us: NonNegative = Field(
        0.0,
        description="Least time of a layer in a step outside CUDA graphs, of more tokens than they "
        "take or, but for vLLM V1, with prompts: the host launches its kernels one by one.",
    )
    request_ms: NonNegative = Field(
        description="Per request, outside the scheduler: API, tokeniser."
    )
    sync_us: NonNegative = Field(
        0.0, description="Per all-reduce and doubling of its devices: they wait for the slowest."
    )
    quantize_us: NonNegative = Field(
        0.0,
        description="Per product of 8 bits: kernels of their own compute the scales of its inputs "
        "and round them. Experts have two products.",
    )
    narrow_cache_ns: NonNegative = Field(
        0.0,
        description="Per token of an 8-bit cache and query head that decodes over it: its kernel "
        "widens keys and values for each head by itself.",
    )
    expert_layer_us: NonNegative = Field(
        0.0, description="Per layer of routed experts: what its tables leave out, sorting tokens."
    )
    expert_visit_ns: NonNegative = Field(
        0.0, description="Per token and expert that it visits, on each device that sees the token."
    )
    source: str = ""


class Within(Table):
    """Half-widths in which nine in ten measured runs lie; 0.2: from 1/1.2 to 1.2 times a figure."""

    ttft: Positive = Field(description="Of the mean TTFT.")
    tpot: Positive = Field(description="Of the mean TPOT.")


class Validation(Table):
    """How far predictions of a release are from measured runs of it."""

    devices: tuple[Name, ...] = Field(min_length=1, description="Devices of the runs.")
    models: dict[Name, Within] = Field(min_length=1, description="Models of the runs.")
    dense: Within | None = Field(
        None, description="Any other model without routed experts; none: the engine's widest."
    )
    moe: Within | None = Field(
        None, description="Any other model with routed experts; none: the engine's widest."
    )
    source: str


class EngineRelease(Table):
    """What one version of an engine does when nothing is said, each figure with its source."""

    version: Name = Field(description="Oldest version that this entry describes.")
    scheduler: Scheduler
    block_size: Count = Field(description="Tokens of a KV-cache block.")
    memory_utilization: Fraction = Field(
        description="Share of device memory that the engine takes."
    )
    memory_rule: Literal["of_total", "of_free", "static"] = Field(
        "of_total",
        description="Of what it is a share: of the total; of what weights and activations leave; "
        "of the total for weights and cache alone.",
    )
    batch_defaults: tuple[BatchDefault, ...] = Field(min_length=1)
    chunked_prefill: bool
    chunked_above_tokens: Count | None = Field(
        None, description="Only where contexts may be longer than this are prompts cut by default."
    )
    prefix_caching: bool
    async_scheduling: bool
    full_sequence_gate: bool = Field(
        description="A request is admitted only if blocks for its whole prompt are free."
    )
    encoders: tuple[Literal["prompt", "fixed"], ...] = Field(
        (),
        description="Encoder-decoder models that it serves: those whose encoder reads the prompt, "
        "as that of T5; those whose encoder reads as much for each request, as that of Whisper.",
    )
    window_cache: Literal["whole", "window", "pool"] = Field(
        "whole",
        description="What sliding-window layers hold beside full ones: all tokens; their window; "
        "a pool of its own, for 0.8 of the tokens.",
    )
    graph_max_tokens: Annotated[int, Field(ge=0)] = Field(
        description="Largest batch that runs in a CUDA graph: tokens, of SGLang and TensorRT-LLM "
        "sequences; 0: none."
    )
    collective_overlap: Share = Field(
        0.0,
        description="Share of an all-reduce that hides behind the product or experts that feed it.",
    )
    other_memory_bytes: NonNegative = Field(description="Context, NCCL, workspace, per device.")
    graph_memory_bytes: NonNegative = Field(description="CUDA graphs, per device.")
    overheads: Overheads
    validation: Validation | None = Field(
        None, description="Against measured runs; none: as wide as the engine's widest."
    )
    source: str


class EngineEntry(Table):
    """An engine of the catalogue: its releases, newest first."""

    name: EngineName
    aliases: tuple[Name, ...] = ()
    releases: tuple[EngineRelease, ...] = Field(min_length=1)
    source: str = ""


class Engine(Table):
    """The engine of the spec. What is not said is the default of that version on that device."""

    name: EngineName = Field("vllm", description="Serving engine.")
    version: Name | None = Field(None, description="Version, `0.19`; default: the newest known.")
    max_num_seqs: Choice[Count] | None = Field(None, description="Most sequences in a batch.")
    max_num_batched_tokens: Choice[Count] | None = Field(
        None, description="Token budget of a step."
    )
    max_model_len: Count | None = Field(
        None, description="Longest prompt + output; default: the model's."
    )
    block_size: Count | None = Field(None, description="Tokens of a KV-cache block.")
    num_gpu_blocks: Count | None = Field(
        None, description="KV-cache blocks, pinned instead of computed."
    )
    gpu_memory_utilization: Fraction | None = Field(
        None, description="Share of device memory that the engine takes."
    )
    chunked_prefill: bool | None = Field(None, description="Long prompts run in chunks.")
    prefix_caching: bool | None = Field(None, description="Blocks of shared prefixes are kept.")
    async_scheduling: bool | None = Field(
        None, description="The next step is scheduled while the current one runs."
    )
    collective_overlap: Share | None = Field(
        None,
        description="Share of an all-reduce that hides behind the product or experts that feed it, "
        "at most their time: 0.3 is 30 percent. Default: none, kernels run one after the other; "
        "fused kernels hide some (vLLM `fuse_gemm_comms`; T3, arXiv 2401.16677).",
    )
    cuda_graphs: bool = Field(True, description="Small batches run in CUDA graphs.")
    scheduling_policy: Policy = Field(
        "fcfs",
        description="Order of the queue: as they came; by `workload.priority_shares` or the "
        "trace's priorities; shortest prompt first, which no engine has a flag for.",
    )
    enable_mixed_chunk: bool | None = Field(
        None, description="SGLang: prompts and decoding sequences share steps; default: no."
    )
    schedule_conservativeness: Positive | None = Field(
        None,
        description="SGLang: scales the room that is kept for outputs under way; default 1.",
    )
    kv_offload_gib_per_device: Annotated[float, Field(gt=0, le=1e6)] | None = Field(
        None, description="Host memory, for each device, that keeps what the prefix cache loses."
    )
    weight_offload: Share = Field(
        0.0,
        description="Share of the layers' weights, routed experts apart, that stays in host "
        "memory and is read over the host link in every step.",
    )
    expert_offload: Share = Field(
        0.0,
        description="Share of the routed experts that stays in host memory; of these a step reads "
        "the ones that its tokens visit.",
    )
    mm_encoder_tp_mode: Literal["weights", "data"] = Field(
        "weights",
        description="vLLM: how a tensor group shares the encoder of images: each device has a part "
        "of its weights, or all of them and a part of the images.",
    )
    speculation: Speculation | None = Field(None, description="Guessing tokens ahead.")
