"""The serving engine: its name, its version, and the scheduler settings that a spec may choose."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from apex_opt.spec.table import Choice, Count, Fraction, Name, NonNegative, Table

EngineName = Literal["vllm", "sglang", "tensorrt-llm"]


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
    request_ms: NonNegative = Field(
        description="Per request, outside the scheduler: API, tokeniser."
    )
    source: str = ""


class EngineRelease(Table):
    """What one version of an engine does when nothing is said, each figure with its source."""

    version: Name = Field(description="Oldest version that this entry describes.")
    scheduler: Literal["vllm-v0", "vllm-v1", "sglang", "tensorrt-llm"]
    block_size: Count = Field(description="Tokens of a KV-cache block.")
    memory_utilization: Fraction = Field(
        description="Share of device memory that the engine takes."
    )
    memory_rule: Literal["of_total", "of_free"] = "of_total"
    batch_defaults: tuple[BatchDefault, ...] = Field(min_length=1)
    chunked_prefill: bool
    prefix_caching: bool
    async_scheduling: bool
    full_sequence_gate: bool = Field(
        description="A request is admitted only if blocks for its whole prompt are free."
    )
    graph_max_tokens: Annotated[int, Field(ge=0)] = Field(
        description="Largest batch that runs in a CUDA graph; 0: none."
    )
    other_memory_bytes: NonNegative = Field(description="Context, NCCL, workspace, per device.")
    graph_memory_bytes: NonNegative = Field(description="CUDA graphs, per device.")
    overheads: Overheads
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
    cuda_graphs: bool = Field(True, description="Small batches run in CUDA graphs.")
