"""A replica in a result: degrees, formats, stages, settings of its engine, memory of a device."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby
from typing import Literal

from apex_opt.cost.shape import even_split
from apex_opt.plan.record import Record
from apex_opt.spec.engine import Policy
from apex_opt.spec.speculation import Speculation
from apex_opt.spec.table import Count, Positive


class Memory(Record):
    """Memory of one device of the fullest stage, bytes."""

    total: int
    weights: int
    activations: int
    graphs: int
    other: int
    reserve: int
    kv_cache: int
    free: int


class EngineSettings(Record):
    """The engine as the plan starts it: every setting, defaults included."""

    name: str
    version: str
    max_num_seqs: int
    max_num_batched_tokens: int
    max_model_len: int
    block_size: int
    gpu_memory_utilization: float
    chunked_prefill: bool
    prefix_caching: bool
    async_scheduling: bool
    cuda_graphs: bool
    scheduling_policy: Policy = "fcfs"
    enable_mixed_chunk: bool = False
    schedule_conservativeness: float = 1.0
    speculation: Speculation | None = None
    kv_offload_gib_per_device: float | None = None
    weight_offload: float = 0.0
    expert_offload: float = 0.0
    collective_overlap: float = 0.0
    max_encoder_tokens: int = 0
    mm_encoder_tp_mode: Literal["weights", "data"] = "weights"


class Stage(Record):
    """A pipeline stage of a replica that stands in several pools."""

    pool: str
    device: str
    layers: Count
    clock_mhz: Positive | None = None


def _listed(layers: Iterable[int]) -> str:
    """Return layers of stages in a row: `3x21,17`."""
    runs = [(n, len(list(run))) for n, run in groupby(layers)]
    return ",".join(f"{times}x{n}" if times > 1 else f"{n}" for n, times in runs)


class Replica(Record):
    """One running copy of the model. `kv_blocks` and `kv_tokens` are those of all its ranks.

    `stages` is empty where all stages stand in `pool`, else `pool` and `device` are those of the
    first one. `memory` is that of a device of the stage `fullest_stage`, counted from 0.
    """

    pool: str
    device: str
    role: Literal["mixed", "prefill", "decode"] = "mixed"
    tensor: Count
    pipeline: Count
    expert: Count
    attention_data: Count = 1
    context: Count = 1
    weights: str
    kv_cache: str
    clock_mhz: Positive | None = None
    engine: EngineSettings
    stage_layers: tuple[Count, ...]
    stages: tuple[Stage, ...] = ()
    devices: int
    kv_blocks: int
    kv_tokens: int
    memory: Memory
    fullest_stage: int = 0

    @property
    def label(self) -> str:
        """A short name: `h100 TP4 PP2 fp8`, `h100 TP2 DP4 EP8 bf16 decode`."""
        degrees = [f"TP{self.tensor}"]
        degrees += [f"DP{self.attention_data}"] if self.attention_data > 1 else []
        degrees += [f"CP{self.context}"] if self.context > 1 else []
        degrees += [f"PP{self.pipeline}{self._split}"] if self.pipeline > 1 else []
        degrees += [f"EP{self.expert}"] if self.expert > 1 else []
        formats = (
            self.weights
            if self.kv_cache in {"bf16", "fp16"}
            else f"{self.weights}/kv-{self.kv_cache}"
        )
        role = [] if self.role == "mixed" else [self.role]
        return " ".join([self.where, *degrees, formats, *role])

    @property
    def _split(self) -> str:
        """The layers of stages in one pool that the engine would split otherwise: `[3x21,17]`."""
        layers = self.stage_layers
        if self.stages or layers == even_split(sum(layers), len(layers), self.engine.name):
            return ""
        return f"[{_listed(layers)}]"

    @property
    def where(self) -> str:
        """Its pool, or its pools with the layers of each stage: `a100(2x36)+l4(4,3)`."""
        if not self.stages:
            return self.pool
        runs = groupby(self.stages, key=lambda stage: stage.pool)
        return "+".join(f"{name}({_listed([s.layers for s in run])})" for name, run in runs)
