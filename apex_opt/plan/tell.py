"""From what the search found to the result that people and scripts read."""

from __future__ import annotations

from apex_opt.plan.predict import Played
from apex_opt.plan.problem import Problem
from apex_opt.plan.result import (
    Binding,
    Check,
    Deployment,
    Placement,
    Plan,
    Proof,
    Rejected,
    Result,
)
from apex_opt.plan.search import Counts, Found, Tried
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
        return f"{name}{which} {check.value:,.4g} {unit} > {check.limit:,.4g} {unit}"
    return f"{check.metric} {check.value:.2%} < {check.limit:.2%}"


def limits_of(spec: Spec, played: Played) -> tuple[Binding, ...]:
    """Return the limits of the spec with what the plan uses of each."""
    limits, shown = spec.limits, played.prediction
    devices = sum(p.count * p.candidate.shape.devices for p in played.parts)
    replicas = sum(p.count for p in played.parts)
    rows = [
        ("limits.devices", limits.devices, float(devices), "devices"),
        ("limits.replicas", limits.replicas, float(replicas), "replicas"),
        ("limits.budget_per_hour", limits.budget_per_hour, shown.cost_per_hour, "USD/h"),
        ("limits.power_w", limits.power_w, shown.power_peak_w, "W"),
    ]
    for number, pool in enumerate(spec.pools):
        held = sum(
            p.count * p.candidate.shape.devices for p in played.parts if p.candidate.pool == number
        )
        rows.append((f"pools.{pool.name}.devices", pool.devices, float(held), "devices"))
    return tuple(
        Binding(limit=name, value=float(limit), used=used, unit=unit)
        for name, limit, used, unit in rows
        if limit is not None
    )


def limits_missed(spec: Spec, played: Played) -> str | None:
    """Return the first limit that only simulation shows to be exceeded: power at the peak."""
    limit, peak = spec.limits.power_w, played.prediction.power_peak_w
    if limit is not None and peak > limit:
        return f"peak power {peak:,.0f} W > {limit:,.0f} W"
    for number, pool in enumerate(spec.pools):
        drawn = sum(
            w
            for p, w in zip(played.parts, played.peaks_w, strict=True)
            if p.candidate.pool == number
        )
        if pool.power_w is not None and drawn > pool.power_w:
            return f"peak power of pool {pool.name} {drawn:,.0f} W > {pool.power_w:,.0f} W"
    return None


def stand(asked: Problem, counts: Counts) -> dict[int, tuple[tuple[Placement, ...], ...]]:
    """Return for each candidate used where its replicas stand: groups packed into nodes.

    Raises:
        AssertionError: the plan does not fit its pools, which is a bug of the solver.
    """
    placed: dict[int, list[list[Placement]]] = {r: [] for r, n in enumerate(counts) if n}
    for number, pool in enumerate(asked.data.pools):
        here = [r for r in placed if asked.candidates[r].pool == number]
        groups = [
            (asked.candidates[r].shape.tensor, r, copy, stage)
            for r in here
            for copy in range(counts[r])
            for stage in range(asked.candidates[r].shape.pipeline)
        ]
        spots = pack(pool, [size for size, *_ in groups])
        if spots is None:
            raise AssertionError(f"groups do not fit pool {number}: {counts}")
        for r in here:
            placed[r] = [[] for _ in range(counts[r])]
        for (size, r, copy, stage), nodes in zip(groups, spots, strict=True):
            share = size // len(nodes)
            placed[r][copy] += [Placement(node=n, stage=stage, devices=share) for n in nodes]
    return {r: tuple(tuple(c) for c in copies) for r, copies in placed.items()}


def plan_of(spec: Spec, asked: Problem, rank: int, tried: Tried) -> Plan:
    """Return a simulated plan as the result tells it; it is verified once more first.

    Raises:
        AssertionError: the verifier finds fault with it, which is a bug of the solver.
    """
    wrong = faults(asked.data, tried.counts)
    if wrong:
        raise AssertionError("; ".join(wrong))
    played = tried.outcome
    places = stand(asked, tried.counts)
    total = sum(p.count * p.weight for p in played.parts)
    used = [r for r, n in enumerate(tried.counts) if n]
    deployments = tuple(
        Deployment(
            replica=part.candidate.replica,
            count=part.count,
            weight=part.weight,
            share=part.count * part.weight / total,
            nodes=places[r],
        )
        for r, part in zip(used, played.parts, strict=True)
    )
    return Plan(
        rank=rank,
        deployments=deployments,
        devices=sum(d.count * d.replica.devices for d in deployments),
        objective=tried.objective,
        prediction=played.prediction,
        checks=played.checks,
        limits=limits_of(spec, played),
    )


def proof_of(asked: Problem, found: Found) -> Proof:
    """Return how far the first plan is proved."""
    goal, first = asked.goal, found.best[0]
    worst = max if goal.maximize else min
    bound = first.objective if found.proved else worst(found.bound, first.objective)
    gap = abs(first.objective - bound) / abs(first.objective) if first.objective else 0.0
    total = space(asked.data)
    size = f"{total:,}" if total < 10**12 else f"{total:.2e}"
    if found.proved:
        text = (
            f"proved optimal for this traffic and seed: {found.simulated:,} plans simulated, "
            f"{size} in the space"
        )
    else:
        text = (
            f"not proved: gap {gap:.1%} to the bound of {bound:,.4g} {goal.unit}; "
            f"{found.simulated:,} plans simulated, {size} in the space"
        )
    return Proof(
        status="optimal" if found.proved else "feasible",
        objective=goal.name,
        best=first.objective,
        bound=bound,
        gap=gap,
        simulated=found.simulated,
        space=total,
        replicas=len(asked.candidates),
        text=text,
    )


def tell(spec: Spec, offered: Traffic, asked: Problem, found: Found, seconds: float) -> Result:
    """Return the result: the first plans of different kind, the proof, what was turned down."""
    plans = [plan_of(spec, asked, i + 1, t) for i, t in enumerate(found.best[: spec.search.top_k])]
    goal = asked.goal
    return Result(
        apexopt_version=VERSION,
        model=spec.model.name,
        objective=("maximize " if goal.maximize else "minimize ") + goal.name,
        unit=goal.unit,
        seed=spec.workload.seed if spec.workload.seed is not None else spec.search.seed,
        traffic=offered.description,
        proof=proof_of(asked, found),
        plans=tuple(plans),
        rejected=tuple(
            Rejected(label=label(asked, t.counts), reason=t.missed or "") for t in found.rejected
        ),
        spec=spec.model_dump(mode="json"),
        solve_s=seconds,
    )
