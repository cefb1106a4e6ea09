"""Cheapest mixes of devices for a workload: `python -m benchmarks.fleet DIR`.

Every `*.json` file of DIR is a case of Mélange's problem: device types with their price and what
one carries of each class of request, alone; a histogram of classes and a total rate. The load of a
class may be split freely between types. One JSON line a case,

    {"case", "objective", "published", "bound", "proved", "seconds", "counts"}

and a summary as the last line. `objective` is the cost of the mix, `published` the optimal cost
that the file expects, if any; a case that no mix can serve has neither mix nor objective. A mix
counts only if exact arithmetic finds a split of the load that it carries.

Source: T. Griggs, X. Liu, J. Yu, D. Kim, W.-L. Chiang, A. Cheung, I. Stoica, "Mélange: Cost
Efficient Large Language Model Serving by Exploiting GPU Heterogeneity", arXiv 2404.14527, 2024.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from math import ceil
from pathlib import Path
from typing import Annotated, Any

import typer

from apex_opt.solvers.fleet import Answer, FleetModel
from apex_opt.solvers.fleet_data import HORIZON, SHARE, FleetData, Kind, PoolData
from apex_opt.solvers.fleet_verify import faults
from benchmarks.lines import Line, geometric_mean, print_lines

MICRO = 10**6
CLOSE = 1e-6
"""Costs that differ by less, relatively, are the same: files give them as floats."""


def read(case: dict[str, Any]) -> FleetData:
    """Return the question that a case asks: money in micro-dollars, work in 1e-9 of a device.

    Work is rounded to the nearest whole number, so that a device that is exactly full is not found
    to be too full by the last digit of a float.
    """
    given = case["input"]
    classes = [
        (i, j) for i, row in enumerate(given["workload_distribution"]) for j in range(len(row))
    ]
    rates = {
        (i, j): given["total_request_rate"] * given["workload_distribution"][i][j]
        for i, j in classes
    }
    asked = [bucket for bucket, rate in rates.items() if rate > 0]
    kinds, pools = [], []
    for number, info in enumerate(given["gpu_info"].values()):
        busy = [
            rates[i, j] / info["tputs"][i][j] if info["tputs"][i][j] else None for i, j in asked
        ]
        most = max(1, ceil(sum(work for work in busy if work is not None)))
        pools.append(PoolData(nodes=most, node_devices=1))
        kinds.append(_kind(number, info["cost"], busy, most))
    return FleetData(
        pools=tuple(pools), kinds=tuple(kinds), features=len(asked), max_kinds=len(kinds)
    )


def _kind(pool: int, cost: float, busy: list[float | None], most: int) -> Kind:
    """Return one device of a type; of what it cannot serve, a millionth is too much for all."""
    never = 2 * SHARE * HORIZON * most
    return Kind(
        pool=pool,
        group_devices=1,
        groups=1,
        max_count=most,
        price_u=round(cost * MICRO),
        power_mw=0,
        work=(tuple(never if work is None else round(work * HORIZON) for work in busy),),
        fixed=round(cost * MICRO),
        flow=(0,) * len(busy),
    )


def cheapest(data: FleetData, time_limit_s: float) -> Answer:
    """Return the cheapest mix that exact arithmetic finds to carry the load.

    The model may overrate a mix by millionths; one that it overrates is cut out.
    """
    model = FleetModel(data)
    until = time.monotonic() + time_limit_s
    answer = model.solve(time_limit_s=time_limit_s)
    while answer.counts is not None and faults(data, answer.counts):
        model.cut(answer.counts)
        left = until - time.monotonic()
        if left <= 0:
            return Answer("unknown", None, None, answer.bound)
        answer = model.solve(at_least=answer.bound, time_limit_s=left)
    return answer


def run(case: dict[str, Any], time_limit_s: float) -> Line:
    """Solve a case and return its line."""
    data = read(case)
    begin = time.perf_counter()
    answer = cheapest(data, time_limit_s)
    seconds = time.perf_counter() - begin
    names = list(case["input"]["gpu_info"])
    counts = None if answer.counts is None else dict(zip(names, answer.counts, strict=True))
    return {
        "case": case["name"],
        "objective": None if answer.objective is None else answer.objective / MICRO,
        "published": case.get("expected_optimal_cost"),
        "bound": None if answer.bound is None else answer.bound / MICRO,
        "proved": answer.status in ("optimal", "infeasible"),
        "seconds": round(seconds, 3),
        "counts": counts,
    }


def lines(folder: Path, time_limit_s: float) -> Iterator[Line]:
    """Solve every case of the folder, in order of names, and yield its line."""
    for path in sorted(folder.glob("*.json")):
        yield run(json.loads(path.read_text()), time_limit_s)


def summary(rows: list[Line]) -> Line:
    """Return the last line: over all cases, and over those with a mix and an expected cost."""
    known = [row for row in rows if row["published"] and row["objective"]]
    return {
        "cases": len(rows),
        "proved": sum(row["proved"] for row in rows),
        "at_or_below_published": sum(
            row["objective"] <= row["published"] * (1 + CLOSE) for row in known
        ),
        "published": len(known),
        "objective_over_published": geometric_mean(
            row["objective"] / row["published"] for row in known
        ),
        "seconds": round(sum(row["seconds"] for row in rows), 3),
    }


def main(
    folder: Annotated[Path, typer.Argument(help="Cases.", exists=True, file_okay=False)],
    out: Annotated[Path | None, typer.Option("--json", help="Write the lines there too.")] = None,
    time_limit: Annotated[float, typer.Option(help="For each case, seconds.", min=0.1)] = 60.0,
) -> None:
    """Solve the fleet cases of a folder."""
    print_lines(lines(folder, time_limit), summary, out)


if __name__ == "__main__":
    typer.run(main)
