"""Placements of layers over unlike machines: `python -m benchmarks.placement DIR`.

Every `*.json` file of DIR is a case of Helix's problem: machines of several types, what each
carries with so many layers, and links between them. Each machine gets an interval of layers; the
score is the tokens a second that flow through all of them, by a maximum flow in exact arithmetic
that no solver has a part in. One JSON line a case,

    {"case", "objective", "published", "bound", "proved", "seconds", "layers"}

and a summary as the last line. `published` is the best that the file has a placement for, and no
input of the search; `layers` is the interval [first, last) of each machine. A file that is no case
gets a line {"case", "fault"}.

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

from apex_opt.solvers.flow import WORKERS, compile_all, solve
from apex_opt.solvers.flow_data import FlowData
from apex_opt.solvers.flow_sites import only
from apex_opt.solvers.flow_verify import faults, throughput
from benchmarks.lines import Line, geometric_mean, print_lines

ENDS = ("source", "sink")


def read(case: dict[str, Any]) -> FlowData:
    """Return the question that a case asks.

    Types and machines keep the order of the file; without `nodes` machines are numbered, type by
    type. A link works both ways unless the way back is a link of its own; where two are given one
    way they add up. Where a file says nothing of links, or of the source, or of the sink, these
    carry anything.

    Raises:
        ValueError: with every fault of the case, one a line.
    """
    if wrong := [*_faults(case)]:
        raise ValueError("\n".join(wrong))
    nodes = _nodes(case)
    types = [name for name in case["machine_types"] if name in {kind for _, kind in nodes}]
    rates = tuple(_rates(case["machine_types"][name]) for name in types)
    place = {node: i for i, (node, _) in enumerate(nodes)}
    given: dict[tuple[str, str], float] = {}
    for link in case.get("links") or ():
        a, b = str(link["a"]), str(link["b"])
        given[a, b] = given.get((a, b), 0.0) + float(link["tokens_per_s"])
    given = {(b, a): rate for (a, b), rate in given.items()} | given
    count, much = len(nodes), 1.0 + sum(map(max, rates)) * len(nodes)
    enter, leave = ([0.0] * count for _ in ENDS)
    links = [[0.0 if given else much] * count for _ in range(count)]
    for (a, b), rate in given.items():
        if a in place and b in place:
            links[place[a]][place[b]] = rate
        elif a == "source" and b in place:
            enter[place[b]] = rate
        elif b == "sink" and a in place:
            leave[place[a]] = rate
    return FlowData(
        layers=case["num_layers"],
        rates=rates,
        machines=tuple(types.index(kind) for _, kind in nodes),
        enter=tuple(enter if any("source" in pair for pair in given) else [much] * count),
        leave=tuple(leave if any("sink" in pair for pair in given) else [much] * count),
        links=tuple(map(tuple, links)),
    )


def _faults(case: dict[str, Any]) -> Iterator[str]:
    """Yield in words what a case lacks."""
    types = case.get("machine_types")
    if not isinstance(case.get("num_layers"), int):
        yield "num_layers: a whole number is needed"
    if not isinstance(types, dict) or not types:
        yield "machine_types: a table of types is needed"
        return
    for name, machine in types.items():
        if not isinstance(machine, dict):
            yield f"machine_types.{name}: a table is needed"
            return
        if not machine.get("throughput_tokens_per_s_by_layers"):
            yield f"machine_types.{name}: throughput_tokens_per_s_by_layers is needed"
    nodes = _nodes(case)
    if not nodes:
        yield "nodes: there are none"
    for node, kind in nodes:
        if kind not in types:
            yield f"nodes: machine {node} is of no known type: {kind}"
    known = {*ENDS, *(node for node, _ in nodes)}
    for nth, link in enumerate(case.get("links") or ()):
        if lacks := sorted({"a", "b", "tokens_per_s"} - link.keys()):
            yield f"links[{nth}]: {', '.join(lacks)} is needed"
        elif strange := sorted({str(link["a"]), str(link["b"])} - known):
            yield f"links[{nth}]: no machine is called {', '.join(strange)}"


def _nodes(case: dict[str, Any]) -> list[tuple[str, str]]:
    """Return (id, type) of each machine."""
    if "nodes" in case:
        return [(str(node["id"]), str(node["type"])) for node in case["nodes"]]
    counted = case["machine_types"].items()
    kinds = [name for name, machine in counted for _ in range(machine.get("count", 0))]
    return [(str(i), kind) for i, kind in enumerate(kinds)]


def _rates(machine: dict[str, Any]) -> tuple[float, ...]:
    """Return what a machine carries with 1, 2, ... layers; nothing with a number not measured."""
    measured = machine["throughput_tokens_per_s_by_layers"]
    if isinstance(measured, list):
        measured = {str(k): rate for k, rate in enumerate(measured, start=1)}
    most = machine.get("max_layers", max(map(int, measured)))
    return tuple(float(measured.get(str(k), 0.0)) for k in range(1, most + 1)) or (0.0,)


def published(case: dict[str, Any], data: FlowData) -> float | None:
    """Return the most that a placement of the file carries, or None if it has none.

    Machines for which a placement has no interval have no part in it.
    """
    best = 0.0
    for placement in (case.get("placements") or {}).values():
        spans = placement.get("layers") or {}
        own = {i: spans[node] for i, (node, _) in enumerate(_nodes(case)) if spans.get(node)}
        ids, intervals = [*own], tuple((first, last) for first, last in own.values())
        if ids and not faults(part := only(data, ids), intervals):
            best = max(best, float(throughput(part, intervals)))
    return best or None


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
    nodes = [node for node, _ in _nodes(case)]
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
    """Solve every case of the folder, in order of names, and yield its line.

    A file that is no case has a line too, which says why.
    """
    compile_all()
    for path in sorted(folder.glob("*.json")):
        yield _line(path, time_limit_s, workers)


def _line(path: Path, time_limit_s: float, workers: int) -> Line:
    try:
        case = {"name": path.stem, **json.loads(path.read_text())}
        read(case)
    except (ValueError, TypeError, KeyError, AttributeError) as wrong:
        return {"case": path.stem, "fault": str(wrong)}
    return run(case, time_limit_s, workers)


def summary(rows: list[Line]) -> Line:
    """Return the last line: over all cases, and over those with a published placement."""
    faulty = sum("fault" in row for row in rows)
    rows = [row for row in rows if "fault" not in row]
    known = [row for row in rows if row["published"]]
    return {
        "faulty": faulty,
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
