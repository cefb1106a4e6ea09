"""A replica that may stand in a plan, with everything that solver and simulator need of it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import cached_property, lru_cache

from apex_opt.cost.drawn import Drawn
from apex_opt.cost.memory import Fit
from apex_opt.cost.rates import replica_idle_w, standing_w
from apex_opt.cost.shape import Place, Shape
from apex_opt.cost.table import replica_table
from apex_opt.cost.work import ModelWork, model_work
from apex_opt.plan import scheduler
from apex_opt.plan.result import Memory, Replica, Stage
from apex_opt.plan.settings import shown
from apex_opt.sim.engine import EngineRules
from apex_opt.sim.member import Role, in_role
from apex_opt.sim.steps import StepTable
from apex_opt.spec.spec import Spec

KEPT = 128
"""Step tables that are kept: one takes up to megabytes, and there may be thousands of replicas."""


@dataclass(frozen=True, eq=False)
class Candidate:
    """A legal replica: its shape, what fits in its memory, its pools by number, what it does.

    Attributes:
        pool: of its stages; of the first one, where they stand in several pools.
        also: the other pools, in the order of their first stages.
        role: all of a request, its prompt and first token, or the others.
    """

    shape: Shape
    fit: Fit
    pool: int
    also: tuple[int, ...] = ()
    role: Role = "mixed"

    @cached_property
    def stages_in(self) -> dict[int, int]:
        """The number of stages in each pool where there are any."""
        stages = (count for _, count in self.shape.pools())
        return dict(zip((self.pool, *self.also), stages, strict=True))

    def devices_in(self, pool: int) -> int:
        """Return the devices of one replica that stand in the pool of this number."""
        return self.shape.stage_devices * self.stages_in.get(pool, 0)

    def idle_in(self, pool: int) -> float:
        """Return the power of those devices while no step runs, watts."""
        places = zip((self.pool, *self.also), self.shape.pools(), strict=True)
        each = {number: standing_w(own) for number, (own, _) in places}
        return self.devices_in(pool) * each.get(pool, 0.0)

    @cached_property
    def drawn(self) -> Drawn:
        """Its shape as its steps see it."""
        return Drawn(self.shape)

    @property
    def steps(self) -> StepTable:
        """What its steps cost; made anew where many others were asked for in between."""
        return _steps(self.drawn)

    @cached_property
    def work(self) -> ModelWork:
        """Operations and bytes of what it does."""
        return model_work(self.shape)

    @cached_property
    def idle_w(self) -> float:
        """Power while no step runs, watts."""
        return replica_idle_w(self.shape)

    @cached_property
    def rules(self) -> EngineRules:
        """How its engine schedules."""
        return scheduler.rules(self.shape, self.fit)

    @property
    def rules_in_role(self) -> EngineRules:
        """How it schedules what its role leaves to it."""
        return in_role(self.rules, self.role)

    @property
    def price_per_hour(self) -> float:
        """Price of one replica, USD an hour."""
        return self.shape.price_per_hour

    @cached_property
    def replica(self) -> Replica:
        """The replica as the result tells it."""
        shape, chosen, memory = self.shape, self.shape.settings, self.fit.memory
        return Replica(
            pool=shape.pool.name,
            device=shape.pool.device.name,
            role=self.role,
            tensor=shape.tensor,
            pipeline=shape.pipeline,
            expert=shape.expert,
            attention_data=shape.attention_data,
            context=shape.context,
            weights=shape.weights.name,
            kv_cache=shape.kv_cache.name,
            clock_mhz=clock_mhz(shape.places[0]),
            engine=shown(chosen, shape.pipeline),
            stage_layers=shape.stage_layers,
            stages=told_stages(shape),
            devices=shape.devices,
            kv_blocks=self.fit.blocks,
            kv_tokens=self.fit.paging.tokens(
                self.fit.blocks, chosen.max_model_len, shape.block_tokens
            ),
            memory=Memory(**asdict(memory), free=memory.room - memory.kv_cache),
            fullest_stage=self.fit.stage,
        )


def located(spec: Spec, shape: Shape, fit: Fit, role: Role = "mixed") -> Candidate:
    """Return the candidate of a legal shape, its pools by their number in `spec`."""
    number = {pool.name: i for i, pool in enumerate(spec.pools)}
    first, *others = (number[pool.name] for pool, _ in shape.pools())
    return Candidate(shape, fit, first, tuple(others), role)


def clock_mhz(place: Place) -> float | None:
    """Return the clock at which a stage runs; None: the boost clock."""
    boost = place.pool.device.clock_mhz
    return round(boost * place.clock, 6) if boost is not None and place.clock < 1 else None


def told_stages(shape: Shape) -> tuple[Stage, ...]:
    """Return where each stage of a replica stands, if they do not all stand in one pool."""
    if not shape.elsewhere:
        return ()
    return tuple(
        Stage(
            pool=place.pool.name,
            device=place.pool.device.name,
            layers=layers,
            clock_mhz=clock_mhz(place),
        )
        for place, layers in zip(shape.places, shape.stage_layers, strict=True)
    )


@lru_cache(maxsize=KEPT)
def _steps(drawn: Drawn) -> StepTable:
    return replica_table(drawn.shape)
