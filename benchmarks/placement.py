"""Placements of layers over unlike machines: `python -m benchmarks.placement DIR`.

Every `*.json` file of DIR is a case of Helix's problem: machines of several types, what each
carries with so many layers, and links between them. Each machine gets an interval of layers; the
score is the tokens a second that flow through all of them, by a maximum flow in exact arithmetic
that no solver has a part in. One JSON line a case,

    {"case", "objective", "published", "bound", "proved", "seconds", "layers"}

and a summary as the last line. `published` is the best that the file has a placement for, and no
input of the search; `layers` is the interval [first, last) of each machine.

Source: Y. Mei, Y. Zhuang, X. Miao, J. Yang, Z. Jia, R. Vinayak, "Helix: Serving Large Language
Models over Heterogeneous GPUs and Network via Max-Flow", ASPLOS 2025.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from apex_opt.solvers.flow import WORKERS, solve
from apex_opt.solvers.flow_data import FlowData, Interval
from apex_opt.solvers.flow_verify import faults, throughput
from benchmarks.lines import Line, geometric_mean, print_lines


def read(case: dict[str, Any]) -> FlowData:
    """Return the question that a case asks.

    Types and machines keep the order of the file; links work both ways, and where two are given
    between the same machines they add up.
    """
    types = list(case["machine_types"])
    place = {node["id"]: i for i, node in enumerate(case["nodes"])}
    count = len(place)
    enter, leave = [0.0] * count, [0.0] * count
    links = [[0.0] * count for _ in range(count)]
    for link in case["links"]:
        a, b, rate = link["a"], link["b"], float(link["tokens_per_s"])
        if "source" in (a, b):
            enter[place[b if a == "source" else a]] += rate
        elif "sink" in (a, b):
            leave[place[b if a == "sink" else a]] += rate
        else:
            links[place[a]][place[b]] += rate
            links[place[b]][place[a]] += rate
    return FlowData(
        layers=case["num_layers"],
        rates=tuple(_rates(case["machine_types"][name]) for name in types),
        machines=tuple(types.index(node["type"]) for node in case["nodes"]),
        enter=tuple(enter),
        leave=tuple(leave),
        links=tuple(map(tuple, links)),
    )


def _rates(machine: dict[str, Any]) -> tuple[float, ...]:
    """Return what a machine carries with 1, 2, ... layers; nothing with a number not measured."""
    measured = machine["throughput_tokens_per_s_by_layers"]
    return tuple(float(measured.get(str(k), 0.0)) for k in range(1, machine["max_layers"] + 1))


def published(case: dict[str, Any], data: FlowData) -> float | None:
    """Return the most that a placement of the file carries, or None if it has none."""
    best = None
    for placement in case.get("placements", {}).values():
        intervals = _intervals(case, placement["layers"])
        if intervals is not None and not faults(data, intervals):
            best = max(best or 0.0, float(throughput(data, intervals)))
    return best


def _intervals(case: dict[str, Any], layers: dict[str, Any]) -> tuple[Interval, ...] | None:
    """Return the interval of each machine, or None where one has none."""
    found = [layers.get(str(node["id"])) for node in case["nodes"]]
    return tuple((pair[0], pair[1]) for pair in found if pair) if all(found) else None


def run(case: dict[str, Any], time_limit_s: float, workers: int) -> Line:
    """Solve a case and return its line.

    Raises:
        RuntimeError: the answer is no placement, or does not carry what it says.
    """
    data = read(case)
    begin = time.perf_counter()
    answer = solve(data, time_limit_s=time_limit_s, workers=workers)
    seconds = time.perf_counter() - begin
    objective = float(throughput(data, answer.placement))
    wrong = faults(data, answer.placement)
    if wrong or objective != answer.throughput:
        raise RuntimeError("\n".join([f"{case['name']}: the answer is wrong", *wrong]))
    nodes = [str(node["id"]) for node in case["nodes"]]
    return {
        "case": case["name"],
        "objective": objective,
        "published": published(case, data),
        "bound": answer.bound,
        "proved": answer.proved,
        "seconds": round(seconds, 3),
        "layers": dict(zip(nodes, answer.placement, strict=True)),
    }


def lines(folder: Path, time_limit_s: float, workers: int) -> Iterator[Line]:
    """Solve every case of the folder, in order of names, and yield its line."""
    for path in sorted(folder.glob("*.json")):
        yield run(json.loads(path.read_text()), time_limit_s, workers)


def summary(rows: list[Line]) -> Line:
    """Return the last line: over all cases, and over those with a published placement."""
    known = [row for row in rows if row["published"]]
    return {
        "cases": len(rows),
        "proved": sum(row["proved"] for row in rows),
        "at_or_above_published": sum(row["objective"] >= row["published"] for row in known),
        "published": len(known),
        "objective_over_published": geometric_mean(
            row["objective"] / row["published"] for row in known
        ),
        "bound_over_objective": geometric_mean(
            row["bound"] / row["objective"] for row in rows if row["objective"]
        ),
        "seconds": round(sum(row["seconds"] for row in rows), 3),
    }


def main(
    folder: Annotated[Path, typer.Argument(help="Cases.", exists=True, file_okay=False)],
    out: Annotated[Path | None, typer.Option("--json", help="Write the lines there too.")] = None,
    time_limit: Annotated[float, typer.Option(help="For each case, seconds.", min=0.1)] = 60.0,
    workers: Annotated[int, typer.Option(help="Threads.", min=1)] = WORKERS,
) -> None:
    """Solve the placement cases of a folder."""
    print_lines(lines(folder, time_limit, workers), summary, out)


if __name__ == "__main__":
    typer.run(main)
