"""Splits of the layers that an engine would not choose by itself, inside one pool.

Engines split layers evenly, whatever else the ends hold: embedding, head, the dense layers with
which a mixture of experts may begin. The placement model's split is looked for where the even one
does not fit, or, if a spec asks for it, where it is slower.
"""

from __future__ import annotations

import math

from apex_opt.cost.reference import Step
from apex_opt.cost.shape import Shape
from apex_opt.plan.placing import Aim, Need, need, order_of, placed, slowest_s

BATCH = 64
"""Sequences that decode in the step for which layers are split, half of the longest request each
in the cache.
"""

GAIN = 1.02
"""How much slower the slowest stage of the even split must be for another one to be looked at."""


def uneven(shape: Shape, *, fits: bool) -> Shape | None:
    """Return the replica with another split of its layers; None where none is worth a look.

    Args:
        shape: split evenly, in one pool.
        fits: whether it does; another split must then be faster.
    """
    context = max(shape.settings.max_model_len // 2, 1)
    aim = Aim(Step(min(BATCH, shape.settings.max_num_seqs), context), 1)
    asked = need(shape, 0, aim)
    most_s = slowest_s(shape, aim) / GAIN if fits else math.inf
    if _least_s(shape, asked) > most_s or not _fits(shape, asked):
        return None
    found = placed(shape, aim)
    if found is None or found.pipeline < shape.pipeline:
        return None
    if found.stage_layers == shape.stage_layers or slowest_s(found, aim) > most_s:
        return None
    return found


def _least_s(shape: Shape, asked: Need) -> float:
    """Return a time that no split's slowest stage is below."""
    order, layers = order_of(shape), asked.times.layers
    whole = sum(layers[name] for name in order) + asked.times.first + asked.times.last
    fullest = math.ceil(len(order) / shape.pipeline) * min(layers[name] for name in order)
    return max(whole / shape.pipeline, fullest)


def _fits(shape: Shape, asked: Need) -> bool:
    """Return whether memory allows any split, a layer a stage at the least.

    Stages are filled in turn, each as full as it will: if any split fits then this one does.
    """
    order, at = order_of(shape), 0
    for later in reversed(range(shape.pipeline)):
        room = asked.room - (0 if at else asked.ends[0]) - (0 if later else asked.ends[1])
        start = at
        while at < len(order) - later and asked.bytes[order[at]] <= room:
            room -= asked.bytes[order[at]]
            at += 1
        if at == start:
            return False
    return at == len(order)
