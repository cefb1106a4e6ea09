"""Pipelines that need not be looked at: deeper than one that shows that none of them is legal.

Replicas that differ in the number of stages alone are a group. Whatever rule of an engine one of
several stages breaks, the deeper ones break it too. And if not even a layer a stage leaves room for
the cache of the longest request, then no split of the layers does: each has a stage with embedding
and a layer, and one with a layer and the head.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

from apex_opt.cost.memory import Fit, fit
from apex_opt.cost.paging import windows
from apex_opt.cost.shape import Shape
from apex_opt.plan.legality import why_no_room, why_not

Group = tuple[int, ...]


@dataclass
class Hopeless:
    """Groups of which a replica of several stages has shown that no deeper one is legal."""

    _stages: dict[Group, float] = field(default_factory=dict)

    def has(self, group: Group, stages: int) -> bool:
        """Whether no replica of a group with so many stages is legal."""
        return stages > self._stages.get(group, math.inf)

    def learn(self, group: Group, shape: Shape) -> None:
        """Note what the first shape of several stages that is not legal shows of deeper ones."""
        if shape.pipeline > 1 and group not in self._stages:
            none = why_not(shape) is not None or _full(shape)
            self._stages[group] = shape.pipeline if none else math.inf


def _full(shape: Shape) -> bool:
    """Whether a layer a stage does not fit; False where a layer alone may hold more of the cache.

    Layers with a window may do so, if layers without one stand beside them.
    """
    if windows(shape) and len(shape.model.layers) > 1:
        return False
    thin = replace(shape, stage_layers=(1,) * len(shape.model.sequence()))
    return why_no_room(thin, fit(thin)) is not None


def few_pinned(shape: Shape, room: Fit) -> bool:
    """Whether too few blocks are pinned, however layers of one kind are split."""
    settings = shape.settings
    if settings.num_gpu_blocks is None or len(shape.model.layers) > 1:
        return False
    return room.blocks < room.paging.needed(settings.max_model_len, shape.block_tokens)
