"""From candidates to the numbers of the fleet model: counts, work, limits, objective, as integers.

Work is counted in billionths of the horizon, money in micro-dollars, power in milliwatts,
objectives in millionths of their unit. Every lower bound is rounded down and every limit up, so
that the integer model never excludes a plan that the real numbers allow.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from apex_opt.cost.drawn import Drawn
from apex_opt.plan.apart import joined
from apex_opt.plan.awake import Awake, awake
from apex_opt.plan.candidate import Candidate
from apex_opt.plan.companions import companions
from apex_opt.plan.deadlines import Deadline, deadlines
from apex_opt.plan.dealt import Dealt, dealt
from apex_opt.plan.existing import running
from apex_opt.plan.features import PREFILL, Features
from apex_opt.plan.levels import NS_PER_S
from apex_opt.plan.mean_power import mean_power
from apex_opt.plan.needs import require_memory
from apex_opt.plan.objective import NO_FLOW, Goal, Traffic, goal
from apex_opt.plan.offered import traffic_of
from apex_opt.plan.optimistic import Optimistic, optimistic
from apex_opt.plan.peak import peaks_above_idle
from apex_opt.plan.power import least_w
from apex_opt.plan.quality import row
from apex_opt.plan.roles import exchange
from apex_opt.plan.step_floors import Row
from apex_opt.sim.load import Load
from apex_opt.sim.member import Role
from apex_opt.solvers.fleet_data import HORIZON, Due, FleetData, Floor, Kind, PoolData, Seat
from apex_opt.spec.spec import Spec

MICRO = 1_000_000
MILLI = 1000
LEAST_SPAN_S = 1e-9
"""Requests that all arrive at once have no rate; any is then allowed by the bound."""


@dataclass(frozen=True)
class Problem:
    """The fleet problem of a spec, with what is needed to read its answers.

    Attributes:
        alone_misses: per candidate, the level that it misses when it serves alone, or None.
        signatures: per candidate, a number that candidates of one device, role, format and degrees
            share; they differ in clock, settings and split of the layers only.
        dealt: how requests are dealt, where energy counts and that is known beforehand.
    """

    candidates: tuple[Candidate, ...]
    data: FleetData
    goal: Goal
    traffic: Traffic
    bounds: tuple[Optimistic, ...]
    alone_misses: tuple[str | None, ...]
    signatures: tuple[int, ...]
    dealt: Dealt | None = None

    def in_units(self, value: float) -> float:
        """Return a value of the fleet model in the unit of the objective."""
        if not self.goal.maximize:
            return value / MICRO
        sure, shared = self._offered
        return (sure + shared * value / MICRO) / max(self.traffic.span_s, LEAST_SPAN_S)

    @property
    def known(self) -> Callable[[Sequence[int]], int] | None:
        """What gives the least flow of a plan by how requests are dealt; None: nothing does."""
        dealt, per_joule = self.dealt, self.goal.per_joule
        if dealt is None or per_joule is None:
            return None
        by_joule = per_joule(self.traffic) * MICRO
        return lambda counts: math.floor(dealt.least_j(counts) * by_joule)

    def in_model(self, objective: float) -> float:
        """Return an objective as the fleet model counts it: the inverse of `in_units`."""
        if not self.goal.maximize:
            return objective * MICRO
        sure, shared = self._offered
        served = objective * max(self.traffic.span_s, LEAST_SPAN_S) - sure
        return served / shared * MICRO if shared else 0.0

    @property
    def _offered(self) -> tuple[float, float]:
        """Return the part of a maximised objective that every plan may count, and the shared part.

        Goodput counts requests, samples as one, all of them shared. Throughput counts output
        tokens: the first of each comes with its prompt, the share is one of the tokens after it.
        """
        found = self.traffic.features
        totals = found.totals
        if self.goal.name == "goodput":
            return 0.0, float(found.served)
        if totals[2] == 0:
            return 0.0, float(totals[0])
        return float(totals[0]), float(totals[2])


def _work(bounds: Optimistic, ranks: int, traffic: Traffic) -> tuple[tuple[int, ...], ...]:
    """Return busy time per resource and feature, in billionths of the horizon, rounded down.

    Bounds are of the busy time of all ranks together, of which each has the whole horizon.
    """
    if traffic.horizon_s is None:
        return ()
    unit = HORIZON / (traffic.horizon_s * NS_PER_S * ranks)
    totals, present = traffic.features.totals, traffic.features.present
    return tuple(
        tuple(math.floor(row[j] * totals[j] * unit) for j in present) for row in bounds.busy_ns
    )


def _due(
    bounds: Optimistic, ranks: int, traffic: Traffic, asked: Sequence[Deadline]
) -> Iterator[Due]:
    """Yield what is due by each deadline, on the resource that it presses most."""
    totals, present = traffic.features.totals, traffic.features.present
    for deadline in asked:
        unit = HORIZON / (deadline.window_s * NS_PER_S * ranks)

        def work(
            row: Row, unit: float = unit, kept: Sequence[float] = deadline.kept
        ) -> list[float]:
            return [row[j] * totals[j] * unit if kept[j] else 0.0 for j in present]

        def late(row: Sequence[float], kept: Sequence[float] = deadline.kept) -> float:
            return sum(w * (1 - kept[j]) for w, j in zip(row, present, strict=True))

        most = max((work(row) for row in bounds.busy_ns), key=lambda w: sum(w) - late(w))
        if sum(most) > late(most):
            yield Due(tuple(map(math.floor, most)), math.ceil(late(most)))


def _kind(
    spec: Spec,
    candidate: Candidate,
    bounds: Optimistic,
    traffic: Traffic,
    chosen: Goal,
    needs: frozenset[int] | None,
    runs: int,
    cache: int,
    asked: Sequence[Deadline],
    drawn: tuple[Due, ...],
    above_w: Callable[[Candidate, float, int], float],
    least: Awake,
) -> Kind:
    shape, stages = candidate.shape, candidate.stages_in
    coefficients = chosen.bound(candidate, bounds, traffic)  # zero where it is maximised
    lost = row(spec, candidate, traffic) if chosen.name == "cost" else NO_FLOW
    totals, present = traffic.features.totals, traffic.features.present
    flow = [(coefficients.flow[j] + lost[j]) * totals[j] for j in present]
    by_joule = (chosen.per_joule(traffic) if chosen.per_joule else 0.0) * MICRO
    drawn_mw = [watts * MILLI for watts in least_w(spec, shape)]
    most = min(pool.devices // (n * shape.stage_devices) for pool, n in shape.pools())
    most = min(most, spec.limits.replicas or most)
    return Kind(
        pool=candidate.pool,
        group_devices=shape.stage_devices,
        groups=stages[candidate.pool],
        max_count=most,
        price_u=math.floor(candidate.price_per_hour * MICRO),
        power_mw=math.floor(sum(drawn_mw) + above_w(candidate, bounds.prompt_step_w, most) * MILLI),
        work=_work(bounds, shape.attention_data, traffic),
        due=tuple(_due(bounds, shape.attention_data, traffic, asked)),
        fixed=math.floor(coefficients.fixed * MICRO),
        flow=tuple(math.floor(part * MICRO) for part in flow),
        companions=needs,
        also=tuple(
            Seat(p, stages[p], math.floor(mw))
            for p, mw in zip(candidate.also, drawn_mw[1:], strict=True)
        ),
        role=candidate.role,
        cache=cache,
        spare=shape.spare_replicas,
        running=runs,
        spot_devices=shape.spot_devices,
        least_flow=math.floor(least.least_j * by_joule),
        beyond=tuple(math.floor(least.beyond_j[j] * totals[j] * by_joule) for j in present),
        standing_mw=math.floor(sum(drawn_mw)),
        drawn=drawn,
    )


def _deadlines(spec: Spec, traffic: Traffic, chosen: Goal) -> tuple[Deadline, ...]:
    """Return the deadlines before the horizon; none where a share is maximised, or time is open.

    Nor where replicas reject requests: fewer of the others may be late then.
    """
    if chosen.maximize or traffic.horizon_s is None or traffic.refused is not None:
        return ()
    found = deadlines(spec, traffic.features, traffic.requests, traffic.span_s)
    return tuple(d for d in found if d.window_s < traffic.horizon_s)


def _limit(limit: float | None, by: int) -> int | None:
    """Return a limit in whole parts of its unit."""
    return None if limit is None else math.ceil(limit * by)


def _floors(traffic: Features) -> tuple[tuple[Floor, ...], ...]:
    """Return for each feature tangents of the least share of it that a share of requests takes.

    Serving a share s of all requests takes at least the s smallest values of the feature; that sum
    is convex in s, so its tangents bound it from below everywhere.
    """
    found: list[tuple[Floor, ...]] = [()]
    for j in traffic.present[1:]:
        column, total = traffic.columns[j], traffic.totals[j]
        ordered = np.sort(column).astype(np.float64)
        sums, n = np.cumsum(ordered), len(ordered)
        floors = []
        for at in {int(n * share) for share in (0.25, 0.5, 0.75, 0.9)} | {n - 1}:
            if total:
                slope = float(ordered[at]) * n / total
                intercept = min(float(sums[at]) / total - slope * (at + 1) / n, 0.0)
                floors.append(Floor(math.floor(slope * MICRO), math.floor(intercept * MICRO)))
        found.append(tuple(floors))
    return tuple(found)


def _maximised(chosen: Goal, traffic: Traffic) -> dict[str, Any]:
    """Return the fleet model's fields of a maximised objective; the total is in millionths."""
    if not chosen.maximize:
        return {}
    if chosen.name == "goodput" or traffic.features.totals[2] == 0:
        return {"sense": "max", "goal": 0, "total": MICRO, "served": _floors(traffic.features)}
    return {"sense": "max", "goal": 2, "total": MICRO}


def _running(spec: Spec, candidates: Sequence[Candidate]) -> tuple[int, ...]:
    if spec.existing is None:  # telling thousands of replicas takes its time
        return (0,) * len(candidates)
    return running(spec, [c.replica for c in candidates])


def _existing(spec: Spec, chosen: Goal) -> dict[str, Any]:
    """Return the fleet model's fields of what runs already; starts cost where cost is the goal."""
    known = spec.existing
    if known is None:
        return {}
    start = math.floor(known.usd_per_start / known.hours * MICRO) if chosen.name == "cost" else 0
    return {"start": start, "starts": known.max_starts}


def signatures(candidates: Sequence[Candidate]) -> tuple[int, ...]:
    """Return numbers that are equal for candidates that differ in no device, degree or format."""
    known: dict[object, int] = {}
    numbers = []
    for c in candidates:
        s = c.shape
        places = tuple(sorted(c.stages_in.items()))
        degrees = (s.tensor, s.attention_data, s.context, s.expert)
        kind = (c.role, places, *degrees, s.weights.name, s.kv_cache.name)
        numbers.append(known.setdefault(kind, len(known)))
    return tuple(numbers)


def caches(candidates: Sequence[Candidate]) -> tuple[int, ...]:
    """Return numbers that are equal for candidates between which a cache can move."""
    known: dict[object, int] = {}
    return tuple(known.setdefault(exchange(c.shape), len(known)) for c in candidates)


def _bounds(
    candidates: Sequence[Candidate],
    traffic: Features,
    bound: Callable[[Candidate, Features], Optimistic],
) -> tuple[Optimistic, ...]:
    """Return the optimistic model of each, made once for pools that no step tells apart."""
    known: dict[tuple[Drawn, Role], Optimistic] = {}
    for c in candidates:
        if (c.drawn, c.role) not in known:
            known[c.drawn, c.role] = bound(c, traffic)
    return tuple(known[c.drawn, c.role] for c in candidates)


def problem(
    spec: Spec,
    load: Load,
    candidates: Sequence[Candidate],
    bound: Callable[[Candidate, Features], Optimistic] = optimistic,
) -> Problem:
    """Return the fleet problem of `spec` for `load` over `candidates`.

    Args:
        spec: limits, service levels and objective are read.
        load: the requests.
        candidates: the replicas to choose from.
        bound: gives the optimistic model of each; it may remember those of an earlier question.

    Raises:
        CallError: requests times candidates take more memory than a machine should give.
    """
    require_memory(len(load), len(candidates))
    traffic = traffic_of(spec, load, candidates)
    bounds = _bounds(candidates, traffic.features, bound)
    roles = [c.role for c in candidates]
    if set(roles) != {"mixed"}:
        bounds = joined(spec, candidates, bounds, traffic.features)
    needs, misses = companions(spec, traffic, bounds, roles)
    chosen = goal(spec.objective)
    limits, pools = spec.limits, spec.pools
    known, present = _running(spec, candidates), traffic.features.present
    due = _deadlines(spec, traffic, chosen)
    draws = mean_power(spec, traffic, bounds, due)
    max_kinds = spec.search.max_deployments or min(len(pools), 3)
    above_w = peaks_above_idle(spec, load, max_kinds)
    alone = (max_kinds == 1 or limits.replicas == 1) and set(roles) == {"mixed"}
    served, turns = [Awake()] * len(candidates), None
    if chosen.per_joule is not None:
        served = awake(candidates, bounds, traffic, alone=alone, lasting=chosen.lasting)
        turns = dealt(spec, candidates, bounds, traffic, lasting=chosen.lasting)
    data = FleetData(
        pools=tuple(
            PoolData(
                nodes=p.nodes,
                node_devices=p.node_devices,
                power_mw=_limit(p.power_w, MILLI),
            )
            for p in pools
        ),
        kinds=tuple(
            _kind(spec, c, b, traffic, chosen, n, runs, cache, due, drawn, above_w, least)
            for c, b, n, runs, cache, drawn, least in zip(
                candidates,
                bounds,
                needs,
                known,
                caches(candidates),
                draws.drawn,
                served,
                strict=True,
            )
        ),
        late_mw=draws.late_mw,
        features=len(present),
        prefill=frozenset(i for i, j in enumerate(present) if j in PREFILL),
        max_kinds=max_kinds,
        devices=limits.devices,
        prefill_devices=limits.prefill_devices,
        decode_devices=limits.decode_devices,
        replicas=limits.replicas,
        price_u=_limit(limits.budget_per_hour, MICRO),
        power_mw=_limit(limits.power_w, MILLI),
        **_existing(spec, chosen),
        spot_ppm=_limit(limits.spot_fraction, MICRO),
        **_maximised(chosen, traffic),
    )
    numbers = signatures(candidates)
    return Problem(tuple(candidates), data, chosen, traffic, bounds, tuple(misses), numbers, turns)
