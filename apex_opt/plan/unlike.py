"""Replicas over several pools: how many stages in each, and which layers on which.

Stages of a replica have one tensor degree: engines number devices as a grid of stages and tensor
ranks. For each set of two or three pools, and each choice of formats, clocks and settings, a few
numbers of stages are kept, of which an even flow through the devices promises most: in turn the
cheapest for what they do, the smallest, and the fastest. The placement model splits the layers of
each for a few steps; equal splits are one replica.

Sources: vLLM 0.33, vllm/distributed/parallel_state.py `initialize_model_parallel`; SGLang 0.5.23,
srt/distributed/parallel_state.py; TensorRT-LLM documentation, `tensor_parallel_size` of all ranks.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice, product

from apex_opt.cost.reference import Step
from apex_opt.cost.shape import Shape, even_split
from apex_opt.plan.placing import Aim, need, order_of, placed

MOST_STAGINGS = 12
"""Numbers of stages in each of two pools that are kept, of all tensor degrees together; of three
pools half as many, as there are many more sets of these.
"""

BATCHES = (64, 8, 1)
"""Sequences that decode in a step for which layers are split; their caches must fit."""


@dataclass(frozen=True)
class Staging:
    """Numbers of stages in each pool, and what an even flow through the devices would give.

    Attributes:
        shape: with its stages in the order of pools, layers split evenly.
        period_s: between two steps, if every device took its part of the layers.
        price: of an hour; its devices where no price is known.
    """

    shape: Shape
    period_s: float
    price: float


def aims(shape: Shape) -> tuple[Aim, ...]:
    """Return the steps for which layers are split.

    Sequences decode in batches of 64, 8 and 1, half of the longest request in the cache of each;
    or a whole token budget of one prompt is computed.
    """
    chosen = shape.settings
    context = max(chosen.max_model_len // 2, 1)
    sizes = dict.fromkeys(min(n, chosen.max_num_seqs) for n in BATCHES)
    prompt = Step(min(chosen.max_num_batched_tokens, chosen.max_model_len))
    return (*(Aim(Step(n, context), n) for n in sizes), Aim(prompt, 1))


def stagings(
    trial: Shape, most: int, totals: Sequence[int] | None, below: float = math.inf
) -> Iterator[Staging]:
    """Yield all numbers of stages in each pool of which memory does not exclude that layers fit.

    Args:
        trial: has a stage in each pool.
        most: stages of a replica.
        totals: numbers of stages that are allowed; None: all.
        below: what takes so many devices or more is left out.
    """
    layers, devices = len(order_of(trial)), trial.stage_devices
    aim = aims(trial)[-2]  # one sequence: what must fit in any case
    needs = [need(trial, stage, aim) for stage in range(trial.pipeline)]
    whole = [sum(n.times.layers[k] for k in order_of(trial)) for n in needs]
    held = [sum(n.bytes[k] for k in order_of(trial)) + sum(n.ends) for n in needs]
    limits = [min(at.pool.devices // devices, most, layers) for at in trial.places]
    for counts in product(*(range(1, limit + 1) for limit in limits)):
        total = sum(counts)
        if total > min(most, layers) or total * devices >= below:
            continue
        if totals is not None and total not in totals:
            continue
        # Each device may hold its share of the layers: necessary, not sufficient.
        if sum(c * n.room / h for c, n, h in zip(counts, needs, held, strict=True)) < 1:
            continue
        places = [at for at, c in zip(trial.places, counts, strict=True) for _ in range(c)]
        shape = replace(
            trial,
            stage_layers=even_split(layers, total, trial.settings.engine),
            elsewhere=tuple(places),
        )
        period_s = 1.0 / sum(c / w for c, w in zip(counts, whole, strict=True))
        yield Staging(shape, period_s, shape.price_per_hour or float(shape.devices))


def promising(found: Sequence[Staging], most: int = MOST_STAGINGS) -> list[Staging]:
    """Return at most so many, in turn the cheapest for what they do, smallest, fastest."""
    orders = [
        sorted(found, key=lambda s: (s.price * s.period_s, s.price)),
        sorted(found, key=lambda s: (s.price, s.period_s)),
        sorted(found, key=lambda s: (s.period_s, s.price)),
    ]
    in_turn = dict.fromkeys(id(one) for turn in zip(*orders, strict=True) for one in turn)
    known = {id(one): one for one in found}
    return [known[i] for i in islice(in_turn, most)]


def splits(staging: Shape) -> list[Shape]:
    """Return the splits of the layers for each step, each once; the even one where none is found.

    A split that leaves a pool empty is none over several pools.
    """
    found = [placed(staging, aim) for aim in aims(staging)]
    across = [one for one in found if one is not None and one.elsewhere]
    key = {(one.stage_layers, tuple(at.pool.name for at in one.places)): one for one in across}
    return list(key.values()) or [staging]


def across(
    trials: Sequence[Shape],
    most: int,
    totals: Sequence[int] | None,
    fitted: Callable[[Shape], Shape],
    below: float = math.inf,
) -> Iterator[Shape]:
    """Yield the replicas over the pools of some trials.

    Args:
        trials: shapes with one stage in each pool, which differ in degrees.
        most: stages of a replica.
        totals: numbers of stages that are allowed; None: all.
        fitted: gives a shape the share of memory that its engine takes.
        below: what takes so many devices or more is passed over.
    """
    found = [one for trial in trials for one in stagings(trial, most, totals, below)]
    seen: set[tuple[object, ...]] = set()
    kept = MOST_STAGINGS // max(len(trials[0].pools()) - 1, 1) if trials else 0
    for one in promising(found, kept):
        for shape in splits(fitted(one.shape)):
            places = tuple(at.pool.name for at in shape.places)
            key = (shape.tensor, shape.expert, shape.stage_layers, places)
            if key not in seen:
                seen.add(key)
                yield fitted(shape)
