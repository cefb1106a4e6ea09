"""From what the search found to the result that people and scripts read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction

from apex_opt.cost.memory import fit
from apex_opt.errors import CallError
from apex_opt.plan.band import banded
from apex_opt.plan.classes import class_shares
from apex_opt.plan.existing import starts
from apex_opt.plan.legality import why_no_room, why_not
from apex_opt.plan.objective import goal
from apex_opt.plan.predict import Played
from apex_opt.plan.problem import Problem
from apex_opt.plan.result import (
    Binding,
    Check,
    ClassShare,
    Degraded,
    Deployment,
    Placement,
    Plan,
    Proof,
    Rejected,
    Result,
)
from apex_opt.plan.ties import ties
from apex_opt.plan.tried import Counts, Found, Tried, as_good
from apex_opt.plan.use import Part
from apex_opt.plan.verify import exact, plan_faults
from apex_opt.sim.member import Role
from apex_opt.solvers.fleet_data import PoolData
from apex_opt.solvers.fleet_space import space
from apex_opt.solvers.fleet_verify import faults, pack
from apex_opt.spec.spec import Spec
from apex_opt.trace.traffic import Traffic
from apex_opt.version import VERSION


def label(asked: Problem, counts: Counts) -> str:
    """Return a short name of a count vector: `2 x h100 TP4 bf16`."""
    return " + ".join(
        f"{n} x {asked.candidates[r].replica.label}" for r, n in enumerate(counts) if n
    )


NAMES = {
    "ttft_ms": ("TTFT", "ms"),
    "tpot_ms": ("TPOT", "ms"),
    "itl_ms": ("ITL", "ms"),
    "e2e_ms": ("E2E", "ms"),
    "drain_s": ("drain", "s"),
}


def why_missed(check: Check) -> str:
    """Return a missed service level in words: `TTFT p99 1,240 ms > 1,000 ms`."""
    if check.metric in NAMES:
        name, unit = NAMES[check.metric]
        which = "" if check.metric == "drain_s" else f" {check.statistic}"
        return f"{name}{which} {_digits(check.value)} {unit} > {_digits(check.limit)} {unit}"
    return f"{check.metric} {check.value:.2%} < {check.limit:.2%}"


def _digits(number: float) -> str:
    """Return a number with at least three digits, and no exponent."""
    return f"{number:,.0f}" if number >= 1000 else f"{number:.4g}"


def limits_of(spec: Spec, played: Played) -> tuple[Binding, ...]:
    """Return the limits of the spec with what the plan uses of each."""
    limits, shown = spec.limits, played.prediction
    devices = sum(p.devices for p in played.parts)
    replicas = sum(p.count for p in played.parts)
    rows = [
        ("limits.devices", limits.devices, float(devices), "devices"),
        ("limits.replicas", limits.replicas, float(replicas), "replicas"),
        ("limits.budget_per_hour", limits.budget_per_hour, shown.cost_per_hour, "USD/h"),
        ("limits.power_w", limits.power_w, played.power.total_w, "W"),
    ]
    for role in ("prefill", "decode"):
        mine = sum(p.devices for p in played.parts if p.role == role)
        most_devices = getattr(limits, f"{role}_devices")
        rows.append((f"limits.{role}_devices", most_devices, float(mine), "devices"))
    if spec.existing is not None:
        most = spec.existing.max_starts
        rows.append(("existing.max_starts", most, float(starts(spec, played.parts)), "replicas"))
    spot = sum(p.count * p.candidate.shape.spot_devices for p in played.parts)
    rows.append(("limits.spot_fraction", limits.spot_fraction, spot / devices, "of all devices"))
    for number, pool in enumerate(spec.pools):
        held = sum(p.devices_in(number) for p in played.parts)
        rows.append((f"pools.{pool.name}.devices", pool.devices, float(held), "devices"))
        if pool.power_w is not None:
            watts = played.power.in_pool_w(number)
            rows.append((f"pools.{pool.name}.power_w", pool.power_w, watts, "W"))
    return tuple(
        Binding(limit=name, value=float(limit), used=used, unit=unit)
        for name, limit, used, unit in rows
        if limit is not None
    )


def limits_missed(spec: Spec, played: Played) -> str | None:
    """Return the first limit that only a plan in hand shows to be exceeded.

    On power, as it is simulated; on price and spot devices by less than the millionths in which
    the fleet model counts.
    """
    limits, drawn = spec.limits, played.power.total_w
    beyond = _over_by_millionths(spec, played.parts)
    if beyond is not None:
        return beyond
    which = "rated" if limits.power_by == "rated" else "peak"
    over = "" if limits.power_window_s is None else f" over {limits.power_window_s:g} s"
    if limits.power_w is not None and drawn > limits.power_w:
        return f"{which} power{over} {drawn:,.0f} W > {limits.power_w:,.0f} W"
    for number, pool in enumerate(spec.pools):
        if pool.power_w is not None and (watts := played.power.in_pool_w(number)) > pool.power_w:
            mine = f"{which} power of pool {pool.name}{over}"
            return f"{mine} {watts:,.0f} W > {pool.power_w:,.0f} W"
    return None


def _over_by_millionths(spec: Spec, parts: Sequence[Part]) -> str | None:
    """Return the limit on price or spot devices that a plan exceeds, in exact fractions."""
    limits = spec.limits
    taken = [
        (pool, part.count * stages * part.candidate.shape.stage_devices)
        for part in parts
        for pool, stages in part.candidate.shape.pools()
    ]
    price = sum((devices * exact(pool.price) for pool, devices in taken), Fraction())
    if limits.budget_per_hour is not None and price > exact(limits.budget_per_hour):
        return f"price {float(price):.12g} USD/h > {limits.budget_per_hour:.12g} USD/h"
    spot = Fraction(sum(n for pool, n in taken if pool.spot), sum(n for _, n in taken))
    if limits.spot_fraction is not None and spot > exact(limits.spot_fraction):
        return f"spot devices {float(spot):.12g} of all > {limits.spot_fraction:.12g}"
    return None


def stand(spec: Spec, parts: Sequence[Part]) -> list[tuple[tuple[Placement, ...], ...]]:
    """Return for each part where its replicas stand: stages packed into nodes, ranks together.

    Raises:
        CallError: the stages do not fit the nodes of a pool.
    """
    placed: list[list[list[Placement]]] = [[[] for _ in range(p.count)] for p in parts]
    for pool in spec.pools:
        groups = [
            (part.candidate.shape.stage_devices, i, copy, stage)
            for i, part in enumerate(parts)
            for copy in range(part.count)
            for stage, at in enumerate(part.candidate.shape.places)
            if at.pool.name == pool.name
        ]
        spots = pack(PoolData(pool.nodes, pool.node_devices), [size for size, *_ in groups])
        if spots is None:
            raise CallError(f"the plan's tensor groups do not fit the nodes of pool `{pool.name}`")
        for (_, i, copy, stage), nodes in zip(groups, spots, strict=True):
            across = pool.name if parts[i].candidate.also else None
            placed[i][copy] += [
                Placement(node=n, stage=stage, devices=d, pool=across) for n, d in nodes
            ]
    return [
        tuple(tuple(sorted(copy, key=lambda at: at.stage)) for copy in copies) for copies in placed
    ]


def deployments_of(spec: Spec, parts: Sequence[Part]) -> tuple[Deployment, ...]:
    """Return the deployments of a plan as the result tells them.

    Raises:
        CallError: the groups do not fit the nodes of a pool.
    """
    total: dict[Role, int] = {}
    for part in parts:
        total[part.role] = total.get(part.role, 0) + part.count * part.ranks * part.weight
    shares = class_shares(parts)
    return tuple(
        Deployment(
            replica=part.replica,
            count=part.count,
            weight=part.weight,
            share=part.count * part.ranks * part.weight / total[part.role],
            class_shares=_class_shares(part, shares[i]) if shares else (),
            nodes=nodes,
        )
        for i, (part, nodes) in enumerate(zip(parts, stand(spec, parts), strict=True))
    )


def _class_shares(part: Part, shares: tuple[float, ...]) -> tuple[ClassShare, ...]:
    up_to = (*part.up_to_tokens, None)
    return tuple(
        ClassShare(prompt_tokens_up_to=tokens, weight=weight, share=share)
        for tokens, weight, share in zip(up_to, part.class_weights, shares, strict=True)
    )


def plan_of_parts(spec: Spec, played: Played, rank: int = 1, *, tie: bool = False) -> Plan:
    """Return a simulated plan as the result tells it; `tie`: it is as good as the first.

    Raises:
        CallError: the groups do not fit the nodes of a pool.
    """
    deployments = deployments_of(spec, played.parts)
    devices = sum(d.count * d.replica.devices for d in deployments)
    return Plan(
        rank=rank,
        deployments=deployments,
        devices=devices,
        cost_per_hour=played.prediction.cost_per_hour,
        objective=goal(spec.objective).value(played.prediction, devices),
        prediction=played.prediction,
        checks=played.checks,
        limits=limits_of(spec, played),
        router=played.router,
        without_spares=_degraded(played.lost),
        tie=tie,
    )


def _degraded(lost: Played | None) -> Degraded | None:
    """Return what a plan does without its spare replicas."""
    if lost is None:
        return None
    counts = tuple(part.count for part in lost.parts)
    return Degraded(counts=counts, prediction=lost.prediction, checks=lost.checks)


def verified(asked: Problem, tried: Tried) -> Played:
    """Return a plan of the search; the verifier, which knows no solver, looks at it once more.

    Raises:
        AssertionError: it finds fault with the plan, which is a bug of the solver.
    """
    wrong = [*faults(asked.data, tried.counts), *_shapes_wrong(tried)]
    if wrong:
        raise AssertionError("; ".join(wrong))
    assert tried.outcome is not None, "a plan that meets the spec has been simulated"
    return tried.outcome


def _shapes_wrong(tried: Tried) -> Iterator[str]:
    """Yield why a replica of the plan cannot be started after all."""
    for part in tried.outcome.parts if tried.outcome is not None else ():
        shape = part.candidate.shape
        reason = why_not(shape) or why_no_room(shape, fit(shape))
        if reason is not None:
            yield f"{part.replica.label}: {reason}"


def sound(spec: Spec, plan: Plan) -> Plan:
    """Return a plan that is about to be told, once it has been held against its spec.

    Raises:
        AssertionError: it breaks it, which is a bug of ours.
    """
    wrong = plan_faults(spec, plan)
    if wrong:
        raise AssertionError("; ".join(wrong))
    return plan


def proof_of(spec: Spec, asked: Problem, found: Found) -> Proof:
    """Return how far the first plan is proved."""
    chosen, first = asked.goal, found.best[0]
    worst = max if chosen.maximize else min
    bound = first.objective if found.proved else worst(found.bound, first.objective)
    gap = abs(first.objective - bound) / abs(first.objective) if first.objective else 0.0
    total = space(asked.data)
    simulated = f"{found.simulated:,} plan{'' if found.simulated == 1 else 's'} simulated"
    size = f"{total:,}" if total < 10**12 else f"{total:.2e}"
    size = f"{size} in the space" + (", routed both ways" if spec.routing.by_class else "")
    if found.proved:
        text = f"proved optimal for this traffic and seed: {simulated}, {size}"
    else:
        text = (
            f"not proved: gap {gap:.2%} to the bound of {bound:,.4g} {chosen.unit}; "
            f"{simulated}, {size}"
        )
    return Proof(
        status="optimal" if found.proved else "feasible",
        objective=chosen.name,
        best=first.objective,
        bound=bound,
        gap=gap,
        simulated=found.simulated,
        space=total,
        replicas=len(asked.candidates),
        ranked=sum(
            found.proved and as_good(chosen, plan.objective, found.bound)
            for plan in found.best[: spec.search.top_k]
        ),
        text=text,
    )


def tell(spec: Spec, offered: Traffic, asked: Problem, found: Found, seconds: float) -> Result:
    """Return the result: the first plans of different kind, the proof, what was turned down."""
    first = [verified(asked, t) for t in found.best[: spec.search.top_k]]
    plans = [
        sound(spec, plan_of_parts(spec, banded(spec, offered.load, played), rank, tie=tie))
        for rank, (played, tie) in enumerate(zip(first, ties(spec, first), strict=True), 1)
    ]
    chosen = asked.goal
    return Result(
        apexopt_version=VERSION,
        model=spec.model.name,
        objective=("maximize " if chosen.maximize else "minimize ") + chosen.name,
        unit=chosen.unit,
        seed=spec.workload.seed if spec.workload.seed is not None else spec.search.seed,
        traffic=offered.description,
        proof=proof_of(spec, asked, found),
        plans=tuple(plans),
        rejected=tuple(
            Rejected(label=label(asked, t.counts), reason=t.missed or "") for t in found.rejected
        ),
        spec=spec.model_dump(mode="json"),
        solve_s=seconds,
    )
