"""Is the proved plan the best of all? `python -m benchmarks.exhaustive [--specs 200]`.

Small random specs, from a fixed seed: one to two pools, any objective, levels, limits, formats,
spare replicas, prefill and decode apart. Every plan of the space is simulated, without solver or
bound, and the best of those that meet the spec is held against the answer of `solve`. One JSON line
a spec:

    {"case", "plans", "objective", "best", "found", "agrees", "simulated", "seconds"}

and a summary as the last line.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from apex_opt.errors import InfeasibleError
from apex_opt.plan.objective import goal
from apex_opt.plan.predict import play
from apex_opt.plan.problem import problem
from apex_opt.plan.solve import legal_candidates, routings, solve, tried
from apex_opt.plan.tell import limits_of
from apex_opt.plan.tried import Counts, better
from apex_opt.sim.replica import EndlessRunError
from apex_opt.solvers.fleet_data import FleetData
from apex_opt.solvers.fleet_verify import pack
from apex_opt.spec.loader import loads
from apex_opt.spec.spec import Spec
from apex_opt.trace.traffic import traffic
from benchmarks.lines import Line, print_lines

SEED = 0
POOLS = (
    ("h100-sxm-80gb", 2, ""),
    ("h100-sxm-80gb", 4, ""),
    ("l40s", 2, ""),
    ("a100-sxm-80gb", 3, ""),
    ("h100-sxm-80gb", 2, "spare_replicas = 1"),
)
OBJECTIVES = tuple(
    [f'minimize = "{name}"' for name in ("cost", "devices", "latency", "energy", "power")]
    + [f'maximize = "{name}"' for name in ("goodput", "throughput")]
)
LEVELS = (
    "ttft_ms = { p99 = 400 }",
    "tpot_ms = 9",
    "ttft_ms = 300\ntpot_ms = { p50 = 12 }",
    "e2e_ms = 900\nattainment = 0.5\ndrain_s = 0.5",
    "tpot_ms = { p90 = 15, mean = 12 }",
)
LIMITS = ("", "", "devices = 2", "replicas = 2", "power_w = 900", "budget_per_hour = 6")
FORMATS = (
    "",
    "",
    'weights = ["bf16", "fp8"]',
    'weights = ["bf16", "fp8"]\nusd_per_million_tokens = { fp8 = 0.3 }',
)
DEGREES = (
    "tensor = [1, 2]\npipeline = [1, 2]",
    "pipeline = 1",
    "tensor = [1, 2]\npipeline = 1\ndisaggregate = true",
)


def draw(rng: random.Random) -> str:
    """Return a small spec, as TOML."""
    pools = [
        f'[[pools]]\nname = "pool{i}"\ndevice = "{device}"\ndevices_per_node = {devices}\n{more}\n'
        for i, (device, devices, more) in enumerate(rng.sample(POOLS, rng.choice([1, 1, 2])))
    ]
    rate, low = rng.choice([5.0, 40.0, 150.0]), rng.choice([50, 300])
    tables = {
        "quantization": rng.choice(FORMATS),
        "parallelism": rng.choice(DEGREES),
        "workload": f'arrival = "poisson"\nrate_rps = {rate}\nrequests = 60\n'
        f'prompt_tokens = {{ distribution = "uniform", low = {low}, high = 900 }}\n'
        f"output_tokens = {rng.choice([1, 20, 60])}",
        "slo": rng.choice(LEVELS),
        "limits": rng.choice(LIMITS),
        "objective": rng.choice(OBJECTIVES),
        "search": "gap = 0",
    }
    rest = [f"[{name}]\n{body}\n" for name, body in tables.items() if body]
    return "\n".join(['[model]\nname = "llama-3.1-8b"\n', *pools, *rest])


def plans(data: FleetData) -> Iterator[Counts]:
    """Yield every plan of the space: stock, spares, roles, and the most kinds of a role."""
    for counts in _grown(data, ()):
        used = [kind for kind, n in zip(data.kinds, counts, strict=True) if n]
        roles = {kind.role for kind in used}
        apart = roles == {"prefill", "decode"} and len({kind.cache for kind in used}) == 1
        if (roles == {"mixed"} or apart) and _stands(data, counts):
            yield counts


def _grown(data: FleetData, begun: Counts) -> Iterator[Counts]:
    """Yield the counts that begin so and keep to the devices of each pool and to `max_kinds`."""
    held = list(zip(data.kinds, begun, strict=False))
    taken = [sum(n * kind.devices_in(p) for kind, n in held) for p in range(len(data.pools))]
    roles = [kind.role for kind, n in held if n]
    if any(t > p.nodes * p.node_devices for t, p in zip(taken, data.pools, strict=True)):
        return
    if any(roles.count(role) > data.max_kinds for role in roles):
        return
    if len(begun) == len(data.kinds):
        yield begun
        return
    kind = data.kinds[len(begun)]
    for n in (0, *range(1 + kind.spare, kind.max_count + 1)):
        yield from _grown(data, (*begun, n))


def _stands(data: FleetData, counts: Counts) -> bool:
    return all(
        pack(pool, [k.group_devices for k, n in held for _ in range(n * k.groups_in(p))])
        for p, pool in enumerate(data.pools)
        for held in [list(zip(data.kinds, counts, strict=True))]
        if any(n * k.groups_in(p) for k, n in held)
    )


def best_of_all(spec: Spec) -> tuple[float | None, int]:
    """Return the best objective of all plans that meet the spec, if any, and how many there are."""
    offered = traffic(spec.workload, spec.search.seed, spec.folder)
    asked = problem(spec, offered.load, legal_candidates(spec, offered))
    chosen, found, number = goal(spec.objective), None, 0
    for counts in plans(asked.data):
        number += 1
        for parts in routings(spec, asked, counts):
            try:
                played = play(spec, offered.load, parts)
            except EndlessRunError:
                continue
            one = tried(spec, counts, played)
            meets = one.missed is None and all(b.used <= b.value for b in limits_of(spec, played))
            if meets and (found is None or better(chosen, one.objective, found)):
                found = one.objective
    return found, number


def line(case: str, text: str) -> Line:
    """Return the line of a spec."""
    spec = loads(text)
    best, number = best_of_all(spec)
    start = time.perf_counter()
    found, simulated = None, 0
    try:
        result = solve(spec)
        found, simulated = result.plans[0].objective, result.proof.simulated
        proved = result.proof.status == "optimal"
    except InfeasibleError:
        proved = True
    seconds = time.perf_counter() - start
    chosen = goal(spec.objective)
    agrees = best is found is None or (
        best is not None
        and found is not None
        and not better(chosen, best, found)
        and not better(chosen, found, best)
    )
    return {
        "case": case,
        "plans": number,
        "objective": chosen.name,
        "best": best,
        "found": found,
        "proved": proved,
        "agrees": agrees,
        "simulated": simulated,
        "seconds": round(seconds, 3),
    }


def lines(specs: int, seed: int = SEED) -> Iterator[Line]:
    """Yield a line a spec."""
    rng = random.Random(seed)
    for case in range(specs):
        yield line(f"spec {case}", draw(rng))


def summary(rows: list[Line]) -> Line:
    """Return how many answers agree, and how many plans were simulated to prove them."""
    return {
        "specs": len(rows),
        "agree": sum(row["agrees"] and row["proved"] for row in rows),
        "infeasible": sum(row["best"] is None for row in rows),
        "plans": sum(row["plans"] for row in rows),
        "simulated": sum(row["simulated"] for row in rows),
    }


def main(
    specs: Annotated[int, typer.Option(help="How many specs.", min=1)] = 200,
    seed: Annotated[int, typer.Option(help="Of the specs.")] = SEED,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the lines here.")] = None,
) -> None:
    """Hold proved plans against the best of all plans."""
    print_lines(lines(specs, seed), summary, json_file)


if __name__ == "__main__":
    typer.run(main)
