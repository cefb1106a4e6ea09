"""Bounds of prefill and decode apart: the least time to move a cache, and the best of the other.

A cache leaves when its first token is sampled, and that token reaches the client when the cache has
come. So it takes at least as long as to the fastest replica that decodes. Over the outgoing link of
a replica caches move one after the other: the link is a resource like a stage.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from apex_opt.plan.candidate import Candidate
from apex_opt.plan.features import Features
from apex_opt.plan.levels import NS_PER_S
from apex_opt.plan.optimistic import Optimistic, plus
from apex_opt.plan.roles import exchange
from apex_opt.plan.routing import moving
from apex_opt.plan.step_floors import row
from apex_opt.sim.member import Role
from apex_opt.spec.spec import Spec

Float = NDArray[np.float64]
ROUNDING_NS = 2.0
"""The simulator rounds latency and transfer of a cache to whole nanoseconds."""


def joined(
    spec: Spec, candidates: Sequence[Candidate], bounds: Sequence[Optimistic], traffic: Features
) -> tuple[Optimistic, ...]:
    """Return bounds that know of the other role: what moves to it, and the best that it can do.

    Args:
        spec: its pools and network are read.
        candidates: the replicas; each that prefills has one that decodes, and the other way round.
        bounds: of each of them alone.
        traffic: features of the requests that are served.
    """
    found = list(bounds)
    for r in _of(candidates, "prefill"):
        found[r] = _sending(spec, candidates, r, bounds[r], traffic)
    firsts = dict(_least(candidates, "prefill", [b.ttft_ns for b in found]))
    others = dict(_least(candidates, "decode", [b.decode_ns for b in found]))
    for r, c in enumerate(candidates):
        if c.role == "prefill":
            found[r] = replace(found[r], decode_ns=others[exchange(c.shape)])
        elif c.role == "decode":
            found[r] = replace(found[r], ttft_ns=firsts[exchange(c.shape)])
    return tuple(found)


def _of(candidates: Sequence[Candidate], role: Role) -> list[int]:
    return [r for r, c in enumerate(candidates) if c.role == role]


def _least(
    candidates: Sequence[Candidate], role: Role, floors: Sequence[Float]
) -> Iterator[tuple[Hashable, Float]]:
    """Yield for each cache that moves the least floor of each request over replicas of a role."""
    mine = _of(candidates, role)
    for cache in {exchange(candidates[r].shape) for r in mine}:
        yield (
            cache,
            np.minimum.reduce([floors[r] for r in mine if exchange(candidates[r].shape) == cache]),
        )


def _sending(
    spec: Spec, candidates: Sequence[Candidate], r: int, bounds: Optimistic, traffic: Features
) -> Optimistic:
    """Return the bounds of a replica that prefills with the least that its caches take to move.

    Rows are of sums over all requests, so they count caches only where every request has one that
    moves, which one of a single token has not.
    """
    source = candidates[r]
    ways = [
        moving(spec, source, candidates[q])
        for q in _of(candidates, "decode")
        if exchange(candidates[q].shape) == exchange(source.shape)
    ]
    begin = max(min(way.begin_s for way in ways) * NS_PER_S - ROUNDING_NS, 0.0)
    token = min(way.token_s for way in ways) * NS_PER_S
    moves = traffic.decode > 0
    ttft = bounds.ttft_ns + np.where(moves, begin + token * traffic.prompts, 0.0)
    if not moves.all():
        return replace(bounds, ttft_ns=ttft)
    link = row(requests=begin, prompt=token)
    return replace(
        bounds,
        busy_ns=(*bounds.busy_ns, link),
        e2e_ns=plus(bounds.e2e_ns, link),
        ttft_ns=ttft,
    )
