"""What comes out: plans, their predictions, the proof. PLAN.json is this model, and so is the API.

`schema_version` changes when a script that reads the file would break. Replicas and predictions
have files of their own, and are imported from here like the rest.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from apex_opt.plan.record import Record
from apex_opt.plan.result_prediction import Band, Check, End, Ground, Moment, Prediction, Statistics
from apex_opt.plan.result_replica import EngineSettings, Memory, Replica, Stage
from apex_opt.spec.routing import Router
from apex_opt.spec.table import Count

__all__ = [
    "SCHEMA_VERSION",
    "Band",
    "Binding",
    "Check",
    "ClassShare",
    "Degraded",
    "Deployment",
    "End",
    "EngineSettings",
    "Ground",
    "Memory",
    "Moment",
    "Placement",
    "Plan",
    "Prediction",
    "Proof",
    "Record",
    "Rejected",
    "Replica",
    "Result",
    "Stage",
    "Statistics",
]

SCHEMA_VERSION: Literal[1] = 1

Weight = Annotated[int, Field(ge=0, le=10**9)]


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
