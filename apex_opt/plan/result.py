"""What comes out: plans, their predictions, the proof. PLAN.json is this model, and so is the API.

`schema_version` changes when a script that reads the file would break.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from apex_opt.cost.shape import even_split
from apex_opt.spec.engine import Policy
from apex_opt.spec.routing import Router
from apex_opt.spec.speculation import Speculation
from apex_opt.spec.table import Count, Positive

SCHEMA_VERSION: Literal[1] = 1

Weight = Annotated[int, Field(ge=0, le=10**9)]


class Record(BaseModel):
    """A part of the result: frozen, no unknown keys, finite numbers."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Statistics(Record):
    """A distribution. Percentiles interpolate linearly."""

    mean: float
    p50: float
    p90: float
    p95: float
    p99: float


class Check(Record):
    """One service level: what was asked, what the simulation shows.

    `sure` is whether both ends of the prediction's band say the same; None: it has no band.
    """

    metric: Literal["ttft_ms", "tpot_ms", "itl_ms", "e2e_ms", "attainment", "drain_s", "completed"]
    statistic: str
    limit: float
    value: float
    met: bool
    sure: bool | None = None


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


class Placement(Record):
    """Where one replica of a deployment stands: devices of each stage, by node.

    Nodes are counted in their pool; `pool` is said where the replica stands in several.
    """

    node: int
    stage: int
    devices: int
    pool: str | None = None


class ClassShare(Record):
    """What the replicas of a deployment get of the prompts of one class, together.

    The class has prompts of up to so many tokens, and more than those of the class before; None:
    all that are longer. `weight` is that of each replica among the requests of the class.
    """

    prompt_tokens_up_to: int | None
    weight: Weight
    share: float


class Deployment(Record):
    """A replica, how many of it, and which share of the requests they are meant to get together.

    `weight` is that of each replica in the plan's router. Shares of replicas that prefill add up
    to 1, and so do those of replicas that decode. Where there are `class_shares`, prompts are
    routed by their length, and these count in place of `weight` and `share`.
    """

    replica: Replica
    count: Count
    weight: Weight
    share: float
    class_shares: tuple[ClassShare, ...] = ()
    nodes: tuple[tuple[Placement, ...], ...]


class Ground(Record):
    """One thing that a band rests on: nine in ten lie within this half-width of the prediction.

    A half-width of 0.2 is from 1/1.2 to 1.2 times the figure.
    """

    what: str
    half_width: float
    source: str


class End(Record):
    """The figures of a prediction at one end of its band."""

    ttft_ms: Statistics
    tpot_ms: Statistics
    itl_ms: Statistics
    e2e_ms: Statistics
    requests_per_s: float
    output_tokens_per_s: float
    goodput_rps: float
    attainment: float
    energy_j_per_request: float
    energy_j_per_output_token: float
    power_mean_w: float
    power_peak_w: float
    cost_per_million_output_tokens: float


class Band(Record):
    """Between which figures nine in ten measured runs are expected, and what that rests on."""

    low: End
    high: End
    rests_on: tuple[Ground, ...]


class Prediction(Record):
    """What the simulation of the whole plan shows."""

    requests: int
    completed: int
    rejected: int
    preemptions: int
    ttft_ms: Statistics
    tpot_ms: Statistics
    itl_ms: Statistics
    e2e_ms: Statistics
    queue_ms: Statistics
    duration_s: float
    drain_s: float
    stable: bool
    requests_per_s: float
    prompt_tokens_per_s: float
    output_tokens_per_s: float
    goodput_rps: float
    attainment: float
    mean_batch: float
    busy: float
    mfu: float
    mbu: float
    kv_use_mean: float
    kv_use_peak: float
    energy_j: float
    energy_j_per_request: float
    energy_j_per_output_token: float
    power_mean_w: float
    power_peak_w: float
    cost_per_hour: float
    cost_per_million_output_tokens: float
    power_rated_w: float | None = None
    """What all devices of the plan may draw at most, with their nodes and the facility."""
    power_window_w: float | None = None
    """The highest mean over `limits.power_window_s`, where the spec names one."""
    extra_cost_per_hour: float = 0.0
    """What quality lost to formats and starting replicas is worth; not part of `cost_per_hour`."""
    hit_tokens_share: float = 0.0
    """Prompt tokens found in the cache of prefixes, over those found and those computed."""
    band: Band | None = None
    """None while a plan is sought."""


class Moment(Record):
    """A row of the time line: means over a stretch of time from `time_s` on, all replicas together.

    `queue` counts requests that wait for a replica, `running` those in its batches; `power_w` has
    idle devices in it; prompt tokens are those computed, not those found in a cache.
    """

    time_s: float
    queue: float
    running: float
    kv_use: float
    power_w: float
    prompt_tokens_per_s: float
    output_tokens_per_s: float


class Binding(Record):
    """A limit of the spec, how much of it the plan uses."""

    limit: str
    value: float
    used: float
    unit: str


class Degraded(Record):
    """What a plan does once its spare replicas are lost: those left of each deployment."""

    counts: tuple[int, ...]
    prediction: Prediction
    checks: tuple[Check, ...]


class Plan(Record):
    """A plan: deployments, what they are predicted to do, and how the limits stand."""

    rank: int
    deployments: Annotated[tuple[Deployment, ...], Field(min_length=1)]
    devices: int
    cost_per_hour: float
    objective: float
    prediction: Prediction
    checks: tuple[Check, ...]
    limits: tuple[Binding, ...]
    router: Router = "round_robin"
    timeline: tuple[Moment, ...] = ()
    without_spares: Degraded | None = None
    tie: bool = False
    """Whether the first plan is better by less than predictions can tell."""

    @property
    def label(self) -> str:
        """A short name: `2 x h100 TP4 bf16 + 1 x a100 TP8 bf16`."""
        return " + ".join(f"{d.count} x {d.replica.label}" for d in self.deployments)


class Proof(Record):
    """How far the first plan is proved. `bound` holds for every plan of the space.

    So many plans, from the first on, are `ranked`: none of another kind (devices, degrees, formats,
    roles) is better. Those after them are the best that were found.
    """

    status: Literal["optimal", "feasible"]
    objective: str
    best: float
    bound: float
    gap: float
    simulated: int
    space: int
    replicas: int
    ranked: int = 1
    text: str


class Rejected(Record):
    """A plan that was simulated and does not meet the spec, and the first level that it misses."""

    label: str
    reason: str


class Result(Record):
    """The answer of `solve`: the best plans in order, the proof, what was turned down."""

    schema_version: Literal[1] = SCHEMA_VERSION
    apexopt_version: str
    model: str
    objective: str
    unit: str
    seed: int
    traffic: str
    proof: Proof
    plans: tuple[Plan, ...]
    rejected: tuple[Rejected, ...]
    spec: dict[str, object]
    solve_s: float
