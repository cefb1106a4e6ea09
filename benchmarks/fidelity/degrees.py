"""Degrees of parallelism, from the several ways in which case files write them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any


@dataclass(frozen=True)
class Degrees:
    """Degrees of one replica, and how many replicas share the traffic.

    Attributes:
        tensor: devices of a rank and stage.
        pipeline: stages.
        attention_data: ranks.
        expert: whole experts are spread over the devices of a stage.
        replicas: copies of it all.
    """

    tensor: int
    pipeline: int = 1
    attention_data: int = 1
    expert: bool = False
    replicas: int = 1

    @property
    def stage_devices(self) -> int:
        """Devices of a stage."""
        return self.tensor * self.attention_data


def degrees(parallel: Mapping[str, Any]) -> Degrees:
    """Return the degrees as they stand.

    Experts that are split and spread at once (`moe_tensor` and `moe_expert` over 1) are taken to be
    spread over all devices.
    """
    return Degrees(
        tensor=parallel.get("tensor") or 1,
        pipeline=parallel.get("pipeline") or 1,
        attention_data=parallel.get("attention_data") or 1,
        expert=bool(parallel.get("expert")) or (parallel.get("moe_expert") or 1) > 1,
        replicas=parallel.get("data") or 1,
    )


def counted_once(parallel: Mapping[str, Any]) -> Degrees | None:
    """Return the degrees of a record that may count its devices twice; None if it cannot.

    An engine that is told `tensor 8, expert 8` runs on 8 devices. Records that must have tensor x
    attention data = moe tensor x moe expert write such a run as 64 = 8 x 8. Some occur both ways,
    with one and the same measurement.
    """
    once, spread = degrees(parallel), parallel.get("moe_expert") or 1
    if spread == 1 or spread != parallel.get("moe_tensor") or once.stage_devices != spread**2:
        return None
    if once.attention_data > 1:
        return replace(once, tensor=1, attention_data=spread)
    return replace(once, tensor=spread)


def flagged(parallel: Mapping[str, Any]) -> Degrees | None:
    """Return the degrees of a record whose ranks may be its devices; None if they cannot.

    InferenceX gives a mixture of experts its devices as `tp` and attention ranks by a flag: so many
    ranks of one device each. Records write such a run as 16 = 4 x 4 = 1 x 16 devices.
    """
    once, spread = degrees(parallel), parallel.get("moe_expert") or 1
    if once.tensor == 1 or not once.tensor == once.attention_data == spread // once.tensor:
        return None
    return replace(once, tensor=1)


def ranked(shape: Degrees, ranks: int) -> Degrees:
    """Return the degrees with so many attention ranks on its devices: these spread experts."""
    tensor, spread = shape.stage_devices // ranks, shape.expert or ranks > 1
    return replace(shape, tensor=tensor, attention_data=ranks, expert=spread)


def dense(shape: Degrees) -> Degrees:
    """Return the degrees of a model that has no experts to share: its ranks are replicas."""
    return replace(
        shape, expert=False, attention_data=1, replicas=shape.replicas * shape.attention_data
    )
