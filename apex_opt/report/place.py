"""Where a plan stands: nodes of each replica; equal neighbours share a line."""

from __future__ import annotations

from itertools import groupby

from rich.text import Text

from apex_opt.plan.result import Deployment, Placement, Plan
from apex_opt.report.layout import Section, pairs, section
from apex_opt.report.numbers import plural

MOST_LINES = 12


def place(plan: Plan) -> Section:
    """Return which nodes the replicas of a plan stand on, counted from 0."""
    rows = [row for deployment in plan.deployments for row in _rows(deployment)]
    more = len(rows) - MOST_LINES
    tail = [Text(f"and {more:,} more lines, in the plan's file")] if more > 0 else []
    return section("Where it stands", pairs(rows[:MOST_LINES]), *tail)


def _rows(deployment: Deployment) -> list[tuple[str, str]]:
    """Return a line for each run of replicas that stand alike."""
    rows, first = [], 1
    replica = deployment.replica
    name = replica.where if replica.role == "mixed" else f"{replica.where} {replica.role}"
    for words, alike in groupby(map(_words, deployment.nodes)):
        last = first + len(list(alike)) - 1
        which = f"replica {first}" if first == last else f"replicas {first}-{last}"
        each = " each" if last > first else ""
        rows.append((f"{name} {which}", words + each))
        first = last + 1
    return rows


def _words(replica: tuple[Placement, ...]) -> str:
    """Return where one replica stands: `node 0: 8 devices`, with its stages where it has some."""
    stages = {at.stage for at in replica}
    texts = []
    for pool, node in _spots(replica):
        here = [at for at in replica if (at.pool, at.node) == (pool, node)]
        name = f"{pool} node" if pool else "node"
        text = f"{name} {node}: {plural(sum(at.devices for at in here), 'device')}"
        if len(stages) > 1:
            text += f" ({_stages(sorted({at.stage for at in here}))})"
        texts.append(text)
    return "; ".join(texts)


def _spots(replica: tuple[Placement, ...]) -> list[tuple[str | None, int]]:
    """Return pools and nodes: by number, or by their first stages where there are several pools."""
    first = {(at.pool, at.node): at.stage for at in reversed(replica)}
    return sorted(first, key=lambda spot: spot[1] if spot[0] is None else first[spot])


def _stages(numbers: list[int]) -> str:
    """Return stages, which follow each other on a node: `stage 0`, `stages 0-3`."""
    first, last = numbers[0], numbers[-1]
    if first == last:
        return f"stage {first}"
    if numbers == list(range(first, last + 1)):
        return f"stages {first}-{last}"
    return "stages " + ", ".join(map(str, numbers))
