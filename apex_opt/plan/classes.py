"""Request classes: which lengths of prompts go to which deployments of a plan.

A router knows how long a prompt is, and nothing of its output, so classes are prompts of like
length: `CLASSES` of them, cut such that each is about as much work. Which share of each goes to
which deployment is a transport problem (`apex_opt.solvers.transport`): the busiest resource of any
replica, by the optimistic model, is to be as little busy as can be, and of what is within a few
percent of that the squares of TTFT floors decide: in a queue of random arrivals others wait for a
long prompt in proportion to the square of its time (Pollaczek and Khinchine), so long ones go to
fast replicas. Shares stand on a grid of 1 / `GRID`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from apex_opt.plan.features import Features
from apex_opt.plan.levels import NS_PER_S
from apex_opt.plan.optimistic import Float, Optimistic, value
from apex_opt.plan.use import Part
from apex_opt.sim.steps import Int64
from apex_opt.solvers.transport import Transport, transport

CLASSES = 8
GRID = 20


def by_class(
    parts: Sequence[Part], bounds: Sequence[Optimistic], traffic: Features
) -> tuple[Part, ...] | None:
    """Return the deployments of a plan with weights by class.

    None where there is nothing to choose: a lone deployment, replicas that are played together
    (roles, ranks), or prompts of one length.

    Args:
        parts: deployments.
        bounds: of each of them.
        traffic: what the requests ask of them.
    """
    apart = any(part.role != "mixed" or part.ranks > 1 for part in parts)
    if len(parts) < 2 or apart or not len(traffic.prompts):
        return None
    work = sum(_busiest(bound, traffic) for bound in bounds)
    up_to = boundaries(traffic.prompts, np.asarray(work))
    if not up_to:
        return None
    kind, classes = np.searchsorted(np.array(up_to), traffic.prompts), len(up_to) + 1
    shares = transport(
        Transport(
            work=tuple(
                _by_class(bound.busy_ns, traffic.columns, kind, classes) for bound in bounds
            ),
            machines=tuple(part.count for part in parts),
            delay=np.array(
                [_sums((bound.ttft_ns / NS_PER_S) ** 2, kind, classes) for bound in bounds]
            ),
        ),
        GRID,
    )
    one = math.lcm(*(part.count for part in parts))
    return tuple(
        replace(
            part,
            class_weights=tuple(int(units) * (one // part.count) for units in row),
            up_to_tokens=up_to,
        )
        for part, row in zip(parts, shares, strict=True)
    )


def boundaries(prompt_tokens: Int64, work: Float) -> tuple[int, ...]:
    """Return the longest prompt of every class but the last, ascending.

    Classes are of equal work, as far as prompts of one length stay together.
    """
    order = np.argsort(prompt_tokens, kind="stable")
    lengths, done = prompt_tokens[order], np.cumsum(work[order])
    cuts = np.searchsorted(done, done[-1] * np.arange(1, CLASSES) / CLASSES)
    found = {int(lengths[cut]) for cut in cuts}
    return tuple(sorted(found - {int(lengths[-1])}))


def class_shares(parts: Sequence[Part]) -> list[tuple[float, ...]]:
    """Return of each deployment its share of each class; nothing where there are no classes."""
    if not any(part.up_to_tokens for part in parts):
        return []
    taken = [[part.count * weight for weight in part.class_weights] for part in parts]
    totals = [sum(column) for column in zip(*taken, strict=True)]
    return [tuple(w / total for w, total in zip(row, totals, strict=True)) for row in taken]


def _busiest(bound: Optimistic, traffic: Features) -> Float:
    """Return (n,) work of each request on the busiest resource of a replica, over that of all."""
    row = max(bound.busy_ns, key=lambda r: value(r, traffic.totals))
    work: Float = np.array(row) @ traffic.columns
    return work / max(float(work.sum()), 1.0)


def _by_class(rows: Sequence[Sequence[float]], columns: Int64, kind: Int64, classes: int) -> Float:
    """Return (rows, classes) work of each class."""
    totals = np.stack([_sums(column, kind, classes) for column in columns])
    return np.array(rows) @ totals


def _sums(column: Int64 | Float, kind: Int64, classes: int) -> Float:
    return np.bincount(kind, weights=column, minlength=classes).astype(np.float64)
