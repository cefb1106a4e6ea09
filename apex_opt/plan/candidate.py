"""A replica that may stand in a plan, with everything that solver and simulator need of it."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from functools import cached_property, lru_cache

from apex_opt.cost.memory import Fit
from apex_opt.cost.rates import Rates
from apex_opt.cost.shape import Shape
from apex_opt.cost.table import replica_table
from apex_opt.plan import scheduler
from apex_opt.plan.result import Memory, Replica
from apex_opt.plan.settings import shown
from apex_opt.sim.engine import EngineRules
from apex_opt.sim.steps import StepTable

KEPT = 64
"""Step tables that are kept: one takes up to megabytes, and there may be thousands of replicas."""


@dataclass(frozen=True, eq=False)
class Candidate:
    """A legal replica: its shape, what fits in its memory, the pool by number."""

    shape: Shape
    fit: Fit
    pool: int

    @property
    def steps(self) -> StepTable:
        """What its steps cost; made anew where many others were asked for in between."""
        return _steps(Drawn(self.shape))

    @cached_property
    def idle_w(self) -> float:
        """Power while no step runs, watts."""
        return Rates(self.shape).idle_w * self.shape.devices

    @cached_property
    def rules(self) -> EngineRules:
        """How its engine schedules."""
        return scheduler.rules(self.shape, self.fit)

    @property
    def price_per_hour(self) -> float:
        """Price of one replica, USD an hour."""
        return self.shape.devices * self.shape.pool.price

    @cached_property
    def replica(self) -> Replica:
        """The replica as the result tells it."""
        shape, chosen, memory = self.shape, self.shape.settings, self.fit.memory
        boost = shape.pool.device.clock_mhz if shape.clock < 1 else None
        return Replica(
            pool=shape.pool.name,
            device=shape.pool.device.name,
            tensor=shape.tensor,
            pipeline=shape.pipeline,
            expert=shape.expert,
            attention_data=shape.attention_data,
            weights=shape.weights.name,
            kv_cache=shape.kv_cache.name,
            clock_mhz=None if boost is None else round(boost * shape.clock, 6),
            engine=shown(chosen, shape.pipeline),
            stage_layers=shape.stage_layers,
            devices=shape.devices,
            kv_blocks=self.fit.blocks,
            kv_tokens=self.fit.paging.tokens(
                self.fit.blocks, chosen.max_model_len, chosen.block_size
            ),
            memory=Memory(**asdict(memory), free=memory.room - memory.kv_cache),
        )


UNSEEN = {"name", "nodes", "devices_per_node", "price_per_device_hour", "power_w", "clocks_mhz"}
"""What of a pool no step sees; of `devices_per_node`, what it means is seen."""


@dataclass(frozen=True, eq=False)
class Drawn:
    """A shape as its steps see it: pools that differ in number, price or power limit are one.

    It is a key: equal ones have the same step table, memory and bounds.
    """

    shape: Shape

    def _content(self) -> tuple[object, ...]:
        own = (getattr(self.shape, f.name) for f in fields(self.shape) if f.name != "pool")
        pool = (value for key, value in self.shape.pool if key not in UNSEEN)
        return (*own, self.shape.pool.node_devices, *pool)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Drawn) and self._content() == other._content()

    def __hash__(self) -> int:
        s = self.shape
        names = (s.pool.device.name, s.weights.name, s.kv_cache.name)
        return hash(
            (s.tensor, s.attention_data, s.expert, s.stage_layers, s.clock, s.settings, *names)
        )


@lru_cache(maxsize=KEPT)
def _steps(drawn: Drawn) -> StepTable:
    return replica_table(drawn.shape)
