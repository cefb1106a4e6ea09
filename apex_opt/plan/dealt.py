"""The least energy of a plan whose requests are dealt in turn: who gets which is known beforehand.

A replica steps while a request of its own is with it, as in `apex_opt.plan.awake`: let A[i] be the
length of that time at least, with the least end-to-end times of its kind. For any part w of the
least power of its steps, what it draws above idle is at least

    w A[i] + beyond(w) of what its requests ask for        (`apex_opt.plan.beyond`)

and at least the energy of all that they ask for. The best of these counts, for each replica by
itself; replicas add up. Idle power lasts at least until E, the end of the last request.

For mean power over a run of length D, somebody is served from E to D. With m the least of the w
that count, (sum_i above[i] + m (D - E)) / D moves one way as D grows: it is at least the lesser of
its values at E and at the horizon. So small w count only where their sum makes up for a small m.

How many of the requests of one replica keep a pace is not known, so none counts as paced.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from apex_opt.plan.awake import PARTS, arrivals_ns, covered_ns
from apex_opt.plan.beyond import beyond
from apex_opt.plan.candidate import Candidate
from apex_opt.plan.companions import floor_ns
from apex_opt.plan.features import FEATURES
from apex_opt.plan.levels import NS_PER_S
from apex_opt.plan.objective import Traffic
from apex_opt.plan.optimistic import Optimistic, rows_of
from apex_opt.plan.weights import routing_weights
from apex_opt.sim.fleet import split
from apex_opt.sim.router import round_robin
from apex_opt.spec.spec import Spec

Float = NDArray[np.float64]
UNPACED = np.array([name != "paced" for name in FEATURES])


@dataclass(frozen=True)
class _Kind:
    """A replica as its requests are held against it.

    Attributes:
        begin_ns, end_ns: (n,) between which each request is with it at least.
        watts: (parts,) parts of the least power, greatest first; none of it last.
        rows: (parts, rows, features) of which any bounds what is beyond, joules.
    """

    begin_ns: Float
    end_ns: Float
    watts: Float
    rows: Float

    def joules(self, awake_s: float, asked: Float) -> Float:
        """Return (parts,) what one draws above idle, by each part or a greater one."""
        found = self.watts * awake_s + (self.rows @ asked).max(axis=1)
        return np.asarray(np.maximum.accumulate(found))


@dataclass(frozen=True)
class Dealt:
    """Plans of mixed replicas, to which requests are dealt in turn.

    Attributes:
        candidates, bounds: the replicas.
        traffic: the requests, all of which are served.
        lasting: see `apex_opt.plan.awake`.
    """

    candidates: Sequence[Candidate]
    bounds: Sequence[Optimistic]
    traffic: Traffic
    lasting: bool
    known: dict[int, _Kind] = field(default_factory=dict)

    def least_j(self, counts: Sequence[int]) -> float:
        """Return the least energy of a plan, but for its idle power over the span of the arrivals.

        Where it is held against the length of the run, that of a run that takes the whole horizon.
        Zero where the replicas of a plan depend on each other.
        """
        used = [r for r, n in enumerate(counts) if n]
        if any(_depends(self.candidates[r]) for r in used):
            return 0.0
        features = self.traffic.features
        served: list[Float] = []
        weights = routing_weights([self.bounds[r] for r in used], features.totals)
        kind = np.repeat(used, [counts[r] for r in used]).tolist()
        each = np.repeat(weights, [counts[r] for r in used]).tolist()
        end_s = self.traffic.span_s
        for r, mine in zip(kind, split(round_robin(features.served, each), len(kind)), strict=True):
            one = self._kind(r)
            awake_s = covered_ns(one.begin_ns[mine], one.end_ns[mine]) / NS_PER_S
            served.append(one.joules(awake_s, features.columns[:, mine].sum(axis=1)))
            end_s = max(end_s, float(one.end_ns[mine].max(initial=0.0)) / NS_PER_S)
        above = np.sum(served, axis=0)
        if self.lasting:
            watts = np.min([self._kind(r).watts for r in used], axis=0)
            return self._lasting(above, end_s, watts)
        idle_w = sum(self.candidates[r].idle_w * counts[r] for r in used)
        return float(above[-1]) + idle_w * (end_s - self.traffic.span_s)

    def _lasting(self, above: Float, end_s: float, watts: Float) -> float:
        horizon_s = self.traffic.horizon_s or end_s
        at_horizon = above + watts * (horizon_s - end_s)
        at_end = above * horizon_s / end_s if end_s else at_horizon
        return float(np.minimum(at_horizon, at_end).max())

    def _kind(self, r: int) -> _Kind:
        if r not in self.known:
            self.known[r] = _kind(self.candidates[r], self.bounds[r], self.traffic)
        return self.known[r]


def _kind(candidate: Candidate, bounds: Optimistic, traffic: Traffic) -> _Kind:
    """Return a replica with its floors."""
    arrivals = arrivals_ns(traffic)
    steps = {"decode": bounds.steps["decode"]}
    watts = [part * bounds.step_w for part in PARTS]
    rows = [rows_of(beyond(candidate, w), steps) for w in watts if w]
    rows += [np.array([bounds.energy_j])] * (1 + len(watts) - len(rows))
    most = max(len(some) for some in rows)
    same = [np.concatenate([some, np.repeat(some[:1], most - len(some), axis=0)]) for some in rows]
    return _Kind(
        arrivals + candidate.rules.request_overhead_ns,
        arrivals + floor_ns(bounds, traffic.features, "e2e_ms"),
        np.array([*watts, 0.0]),
        np.where(UNPACED, np.stack(same), 0.0),
    )


def _depends(candidate: Candidate) -> bool:
    """Whether what a replica is dealt may hang on the others."""
    return candidate.role != "mixed" or candidate.shape.attention_data > 1


def dealt(
    spec: Spec,
    candidates: Sequence[Candidate],
    bounds: Sequence[Optimistic],
    traffic: Traffic,
    *,
    lasting: bool,
) -> Dealt | None:
    """Return how requests are dealt in turn, or None where that is not known beforehand."""
    in_turn = spec.routing.router == "round_robin" and not spec.routing.by_class
    if not in_turn or traffic.left_ns is None or traffic.refused is not None:
        return None
    whole = traffic.features.samples == 1 and traffic.features.served == traffic.requests
    return Dealt(candidates, bounds, traffic, lasting) if whole else None
