"""How the placement and the fleet solvers grow: `python -m benchmarks.scaling`.

One JSON line a size, from 64 to 12,288 devices of 1 to 6 types, for the least period of one
pipeline of 80 layers (`placement`) and for the cheapest fleet of 60 kinds of replica (`fleet`):

    {"case", "devices", "types", "objective", "bound", "gap", "proved", "seconds"}

and a summary as the last line: the longest time of each solver. Devices are drawn as they differ in
practice, from a fixed seed; every answer is checked by a verifier that no solver has a part in.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

import typer

from apex_opt.solvers.fleet import FleetModel
from apex_opt.solvers.fleet_data import HORIZON, FleetData, Kind, PoolData
from apex_opt.solvers.fleet_verify import faults as fleet_faults
from apex_opt.solvers.placement import solve
from apex_opt.solvers.placement_data import Group, PlacementData
from apex_opt.solvers.placement_verify import faults as placement_faults
from apex_opt.solvers.placement_verify import period_ns
from benchmarks.lines import Line, print_lines

SIZES = ((64, 1), (64, 2), (512, 4), (2048, 4), (4096, 5), (12_288, 6))
"""Devices, types."""
DEGREES = (1, 2, 4, 8)
LAYERS = 80
MEMORY_GB = (24, 40, 80, 141)
FEATURES, RESOURCES, KINDS = 7, 6, 60
ROUNDING = 1e-5
"""The fleet model may overrate a plan by millionths."""


def placement_case(devices: int, types: int, seed: int = 0) -> PlacementData:
    """Return 80 equal layers between an embedding and a head, with the noise of measured times."""
    rng = random.Random(seed)
    groups = [
        group
        for pool in range(types)
        for group in _groups(rng, pool, rng.uniform(0.3, 2.0), rng.choice(MEMORY_GB))
    ]
    hops = ((20_000,) * len(groups),) * len(groups)
    runs = ((0, 1), (1, LAYERS), (2, 1))
    return PlacementData(runs, tuple(groups), (devices // types,) * types, hops)


def _groups(rng: random.Random, pool: int, speed: float, memory_gb: int) -> Iterator[Group]:
    """Yield the groups of one type: a layer of 0.3 ms on a device of speed 1, 5 % of noise."""
    for degree in DEGREES:
        layer_ns = 300_000 / (speed * degree**0.9)
        rows = [
            (0, *(int(n * part * layer_ns * rng.uniform(0.95, 1.05)) for n in range(1, LAYERS + 1)))
            for part in (0.3, 1.0, 0.8)
        ]
        yield Group(
            pool=pool,
            devices=degree,
            memory_bytes=memory_gb * degree * 10**9,
            fixed_bytes=2 * 10**9,
            layer_bytes=(2 * 10**9, 1_700_000_000, 2 * 10**9),
            fixed_ns=20_000,
            layers_ns=tuple(rows),
        )


def fleet_case(devices: int, types: int, seed: int = 0) -> FleetData:
    """Return traffic that a fifth of the devices carries, and 60 kinds of replica for it."""
    rng = random.Random(seed)
    speeds = [rng.uniform(0.3, 2.0) for _ in range(types)]
    prices = [int(speed * rng.uniform(1.6e6, 2.4e6)) for speed in speeds]
    nodes = devices // 8 // types
    kinds = [
        _kind(rng, r % types, speeds[r % types], prices[r % types], devices / 5, nodes)
        for r in range(KINDS)
    ]
    return FleetData((PoolData(nodes, 8),) * types, tuple(kinds), FEATURES, max_kinds=3)


def _kind(
    rng: random.Random, pool: int, speed: float, price_u: int, load: float, nodes: int
) -> Kind:
    """Return a replica of 1 to 8 devices a group and 1 or 2 groups; larger ones lose speed."""
    degree, groups = rng.choice(DEGREES), rng.choice((1, 1, 2))
    each = degree * groups
    carries = speed * each * 0.93 ** DEGREES.index(degree) * rng.uniform(0.8, 1.0)
    rows = []
    for _ in range(RESOURCES):
        parts = [rng.uniform(0.05, 1.0) for _ in range(FEATURES)]
        rows.append(tuple(int(HORIZON * load / carries * p / sum(parts)) for p in parts))
    return Kind(
        pool=pool,
        group_devices=degree,
        groups=groups,
        max_count=nodes * 8 // each,
        price_u=price_u * each,
        power_mw=700_000 * each,
        work=tuple(rows),
        fixed=price_u * each,
        flow=(0,) * FEATURES,
    )


def place(devices: int, types: int, time_limit_s: float) -> Line:
    """Place 80 layers and return the line; objective and bound are periods, ns."""
    data = placement_case(devices, types)
    begin = time.perf_counter()
    found = solve(data, time_limit_s=time_limit_s)
    seconds = time.perf_counter() - begin
    if found.value is None or placement_faults(data, found.pipelines):
        raise RuntimeError(f"{devices} devices of {types} types: no placement")
    if period_ns(data, found.pipelines) != found.value:
        raise RuntimeError(f"{devices} devices of {types} types: another period than was said")
    return _line("placement", (devices, types), found.value, found.bound or 0, seconds)


def buy(devices: int, types: int, time_limit_s: float) -> Line:
    """Choose the cheapest fleet and return the line; objective and bound are micro-dollars/hour."""
    data = fleet_case(devices, types)
    begin = time.perf_counter()
    found = FleetModel(data).solve(time_limit_s=time_limit_s)
    seconds = time.perf_counter() - begin
    if found.counts is None or found.objective is None:
        raise RuntimeError(f"{devices} devices of {types} types: no fleet")
    share = 1 - ROUNDING
    wrong = [f for f in fleet_faults(data, found.counts) if not _overrated(f, share)]
    if wrong:
        raise RuntimeError("\n".join(wrong))
    return _line("fleet", (devices, types), found.objective, found.bound or 0, seconds)


def _overrated(fault: str, share: float) -> bool:
    """Whether a fault says that a little less than all traffic can be served."""
    return fault.startswith("work: at most ") and float(fault.split()[3]) >= share


def _line(
    case: Literal["placement", "fleet"],
    size: tuple[int, int],
    objective: int,
    bound: int,
    seconds: float,
) -> Line:
    return {
        "case": case,
        "devices": size[0],
        "types": size[1],
        "objective": objective,
        "bound": bound,
        "gap": (objective - bound) / objective,
        "proved": bound >= objective,
        "seconds": round(seconds, 3),
    }


def lines(time_limit_s: float) -> Iterator[Line]:
    """Solve every size and yield its line."""
    for devices, types in SIZES:
        yield place(devices, types, time_limit_s)
    for devices, types in SIZES:
        yield buy(devices, types, time_limit_s)


def summary(rows: list[Line]) -> Line:
    """Return the last line: the longest time of each solver, and whether all was proved."""
    longest = {
        f"{case}_seconds": max(row["seconds"] for row in rows if row["case"] == case)
        for case in sorted({row["case"] for row in rows})
    }
    return {**longest, "proved": sum(row["proved"] for row in rows), "cases": len(rows)}


def main(
    out: Annotated[Path | None, typer.Option("--json", help="Write the lines there too.")] = None,
    time_limit: Annotated[float, typer.Option(help="For each case, seconds.", min=0.1)] = 60.0,
) -> None:
    """Solve placements and fleets of growing size."""
    print_lines(lines(time_limit), summary, out)


if __name__ == "__main__":
    typer.run(main)
