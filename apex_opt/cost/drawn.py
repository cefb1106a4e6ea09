"""What of a replica its steps see: a key for what is worked out once and remembered."""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cached_property

from apex_opt.cost.rates import node_share_w
from apex_opt.cost.shape import Shape
from apex_opt.spec.pools import Pool

UNSEEN = {"name", "nodes", "devices_per_node", "price_per_device_hour", "power_w", "clocks_mhz"}
"""What of a pool no step sees; of `devices_per_node`, what it means is seen."""

PLACED = {"pool", "clock", "elsewhere"}
"""What of a shape says where its stages stand."""


@dataclass(frozen=True, eq=False)
class Drawn:
    """A shape as its steps see it: pools that differ in number, price or power limit are one.

    It is a key: equal ones have the same step table, memory and bounds.
    """

    shape: Shape

    @cached_property
    def _content(self) -> tuple[object, ...]:
        shape = self.shape
        own = tuple(getattr(shape, f.name) for f in fields(shape) if f.name not in PLACED)
        names = [pool.name for pool, _ in shape.pools()]
        order = tuple((names.index(at.pool.name), at.clock) for at in shape.places)
        return (*own, order, *(_seen(pool, shape.devices) for pool, _ in shape.pools()))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Drawn) and self._content == other._content

    @cached_property
    def _hash(self) -> int:
        s = self.shape
        places = tuple((at.pool.device.name, at.clock) for at in s.places)
        degrees = (s.tensor, s.attention_data, s.context, s.expert, s.stage_layers)
        return hash((*degrees, s.settings, places, s.weights.name, s.kv_cache.name))

    def __hash__(self) -> int:
        return self._hash


def _seen(pool: Pool, devices: int) -> tuple[object, ...]:
    """Return what the steps of a replica of so many devices see of a pool.

    Nodes that would hold it whole are alike, but for the power that stands for each device.
    """
    own = (value for key, value in pool if key not in UNSEEN)
    return (min(pool.node_devices, devices), node_share_w(pool), *own)
