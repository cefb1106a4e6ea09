"""The shape of a replica: everything that decides what a step costs and what fits in memory."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property

from apex_opt.spec.engine import EngineName, EngineRelease, Policy
from apex_opt.spec.model import Model
from apex_opt.spec.pools import Network, Pool
from apex_opt.spec.quantization import KvFormat, WeightFormat
from apex_opt.spec.speculation import Speculation


@dataclass(frozen=True)
class Drafts:
    """Guessing tokens ahead.

    Attributes:
        asked: as the spec has it.
        model: what guesses, a model of its own or one more layer of the target with its embedding
            and head; None: nothing that takes device memory.
    """

    asked: Speculation
    model: Model | None = field(default=None, hash=False)  # tables hold dicts

    @property
    def layer(self) -> bool:
        """Whether the model is a layer of the target."""
        return self.model is not None and self.asked.method != "draft_model"


@dataclass(frozen=True)
class Settings:
    """The engine's settings, every default filled in.

    Attributes:
        version: as the spec names it, else the release's.
        graph_tokens: largest batch that runs in a CUDA graph, as `graph_tokens` gives it; 0: none.
        num_gpu_blocks: blocks pinned by the spec; None: computed from memory.
        mixed_chunk, conservativeness: of SGLang's scheduler.
        kv_offload_bytes: host memory for lost blocks, for each device.
        weight_offload, expert_offload: shares of the layers' weights and of the routed experts that
            stay in host memory.
        collective_overlap: share of an all-reduce that hides behind what feeds it.
        max_encoder_tokens: most that the encoder of an encoder-decoder model reads for a request.
        encoder_by_data: each device has the whole encoder of images, and encodes its part of them.
    """

    version: str
    max_num_seqs: int
    max_num_batched_tokens: int
    max_model_len: int
    block_size: int
    gpu_memory_utilization: float
    chunked_prefill: bool
    async_scheduling: bool
    graph_tokens: int
    num_gpu_blocks: int | None
    engine: EngineName = "vllm"
    prefix_caching: bool = False
    policy: Policy = "fcfs"
    mixed_chunk: bool = False
    conservativeness: float = 1.0
    drafts: Drafts | None = None
    kv_offload_bytes: int = 0
    weight_offload: float = 0.0
    expert_offload: float = 0.0
    collective_overlap: float = 0.0
    max_encoder_tokens: int = 0
    encoder_by_data: bool = False

    @property
    def rows(self) -> int:
        """Most tokens that decoding sequences run in a step, guesses and all."""
        return self.max_num_seqs * (1 + (self.drafts.asked.tokens if self.drafts else 0))


@dataclass(frozen=True)
class Place:
    """Where a pipeline stage stands: in which pool, and at which share of the boost clock."""

    pool: Pool
    clock: float


@dataclass(frozen=True)
class Shape:
    """One replica, in one pool or over several.

    Attributes:
        pool: where its stages stand; the first one, where they stand in several pools.
        tensor: devices over which attention and dense layers of a stage are split.
        attention_data: ranks of the replica, `tensor` devices each: every rank has attention and
            dense layers of its own and batches by itself; experts belong to all ranks together.
        expert: 1: each expert is split over the stage like a dense layer; else equal to
            `tensor x attention_data`: whole experts are spread over the stage.
        stage_layers: layers of each pipeline stage, first to last.
        clock: share of the boost clock, 0 to 1; of the first stage likewise.
        context: devices of the tensor group over which the tokens of each key-value head are
            spread, instead of copied.
        reserve_fraction: share of device memory that the spec keeps free.
        expert_skew: load of the fullest device over the mean, less 1, where whole experts are
            spread; 0: even routing, as far as chance allows; None: as popularity makes it.
        elsewhere: the place of each stage where they stand in several pools, else empty.
    """

    model: Model
    pool: Pool
    network: Network
    release: EngineRelease
    settings: Settings
    weights: WeightFormat
    kv_cache: KvFormat
    tensor: int
    expert: int
    stage_layers: tuple[int, ...]
    clock: float
    reserve_fraction: float
    expert_skew: float | None = None
    attention_data: int = 1
    context: int = 1
    elsewhere: tuple[Place, ...] = ()

    @cached_property
    def places(self) -> tuple[Place, ...]:
        """The place of each stage."""
        return self.elsewhere or (Place(self.pool, self.clock),) * self.pipeline

    def at(self, stage: int) -> Shape:
        """Return the replica as if all of it stood where this stage does."""
        if not self.elsewhere:
            return self
        place = self.elsewhere[stage]
        return replace(self, pool=place.pool, clock=place.clock, elsewhere=())

    def pools(self) -> tuple[tuple[Pool, int], ...]:
        """Return the pools where it stands, in the order of stages, and its stages in each."""
        return self._pools

    @cached_property
    def _pools(self) -> tuple[tuple[Pool, int], ...]:
        found: dict[str, tuple[Pool, int]] = {}
        for place in self.places:
            name = place.pool.name
            found[name] = (place.pool, found.get(name, (place.pool, 0))[1] + 1)
        return tuple(found.values())

    @property
    def pipeline(self) -> int:
        """Pipeline stages."""
        return len(self.stage_layers)

    @property
    def stage_devices(self) -> int:
        """Devices of a pipeline stage, those of all ranks."""
        return self.tensor * self.attention_data

    @property
    def devices(self) -> int:
        """Devices of the replica."""
        return self.stage_devices * self.pipeline

    @property
    def block_tokens(self) -> int:
        """Tokens of a block of the KV cache: each device of `context` holds a part of it."""
        return self.settings.block_size * self.context

    @property
    def price_per_hour(self) -> float:
        """Price of all devices of the replica, USD an hour."""
        return sum(stages * self.stage_devices * pool.price for pool, stages in self.pools())

    @property
    def spot_devices(self) -> int:
        """Devices of the replica that the provider may take away."""
        return sum(stages * self.stage_devices for pool, stages in self.pools() if pool.spot)

    @property
    def spare_replicas(self) -> int:
        """Replicas of its deployment that may be lost: what the pool asks that asks for most."""
        return max(pool.spare_replicas for pool, _ in self.pools())

    def stage_counts(self) -> tuple[dict[str, int], ...]:
        """Return the number of layers of each kind on each stage."""
        order = self.model.sequence()
        stages: list[dict[str, int]] = []
        start = 0
        for layers in self.stage_layers:
            counts: dict[str, int] = {}
            for kind in order[start : start + layers]:
                counts[kind] = counts.get(kind, 0) + 1
            stages.append(counts)
            start += layers
        return tuple(stages)


def graph_tokens(
    release: EngineRelease, max_num_seqs: int, max_num_batched_tokens: int, tokens_each: int = 1
) -> int:
    """Return the largest batch for which an engine captures a CUDA graph, tokens; 0: none.

    Sizes are 1, 2, 4, then by 8 from 8, by 16 from 256, up to the least of what the release takes,
    twice the sequences, and the token budget. What a release takes is in tokens of vLLM, and in
    sequences of SGLang and TensorRT-LLM, each with all that it guesses: `tokens_each`.

    Source: vLLM 0.19 vllm/config/vllm.py, `_set_cudagraph_sizes`; SGLang `--cuda-graph-max-bs`,
    whose graphs take `num_tokens_per_bs` tokens a sequence (cuda_graph_runner.py); TensorRT-LLM
    `cuda_graph_config.max_batch_size`.
    """
    counted = 1 if release.scheduler.startswith("vllm") else tokens_each
    taken = release.graph_max_tokens * counted
    most = min(taken, 2 * max_num_seqs * tokens_each, max_num_batched_tokens)
    if most < 8:
        return max(size for size in (0, 1, 2, 4) if size <= most)
    return most // 8 * 8 if most < 256 else most // 16 * 16


def even_split(layers: int, stages: int, engine: str = "vllm") -> tuple[int, ...]:
    """Return how an engine spreads `layers` over `stages` when it is not told.

    Each stage gets `layers // stages`; the rest goes one by one to the stages counted back from the
    second last, so that first and last stage, which hold embedding and head, stay short. SGLang
    counts from the last.

    Source: vLLM 0.33 `get_pp_indices` (vllm/distributed/utils.py); SGLang 0.5.23 likewise
    (sglang/srt/distributed/utils.py). TensorRT-LLM: taken to be as vLLM.
    """
    split = [layers // stages] * stages
    last = 1 if engine == "sglang" else 2
    for i in range(last, layers % stages + last):
        split[-i] += 1
    return tuple(split)
