"""Pipelines as paths in a graph whose edges are stages.

Vertices are places between layers. In the graph *by layer* there is one for each layer; where hops
differ there is one for each layer and group, and hops are edges too. In the graph *by count* the
places inside the longest run of equal layers are one vertex: a stage inside it is known by its
group and its number of layers, whatever its place, and a row says that the layers of the run add
up. That is exact for one pipeline whose hops all take the same time: its stages inside the run may
stand in any order.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import combinations

from apex_opt.solvers.placement_data import PlacementData

INSIDE = -1
"""The vertex of all places inside the longest run."""

Vertex = tuple[int, int]
"""Layer, or INSIDE; and the group that a stage there begins or ends on, -1: any."""


@dataclass(frozen=True)
class Edge:
    """A stage, or a hop to the next stage.

    Attributes:
        tail, head: vertices.
        group: of the stage; -1 for a hop.
        layers: of the stage, and of those the ones in the longest run.
        ns: its time, of a hop too.
        most: how often it can occur.
    """

    tail: Vertex
    head: Vertex
    group: int
    layers: int
    run_layers: int
    ns: int
    most: int


@dataclass(frozen=True)
class Graph:
    """The edges, and where paths begin and end.

    Attributes:
        edges: all stages that fit, and hops.
        begin, end: vertices.
        by_count: whether places inside the longest run are one vertex.
        hop_ns: what each step from stage to stage takes that is no edge.
    """

    edges: tuple[Edge, ...]
    begin: Vertex
    end: Vertex
    by_count: bool
    hop_ns: int


def graph(data: PlacementData) -> Graph:
    """Return the smallest graph that is exact for `data`."""
    hops = {hop for row in data.hop_ns for hop in row}
    begin, end = (0, -1), (data.layers, -1)
    if len(hops) > 1:
        edges = (*_stages_by_group(data), *_hops(data))
        return Graph(edges, begin, end, by_count=False, hop_ns=0)
    by_count = data.pipelines == 1
    edges = tuple(_by_count(data) if by_count else _stages(data))
    return Graph(edges, begin, end, by_count, hop_ns=min(hops, default=0))


def _fitting(
    data: PlacementData, cuts: Iterable[tuple[int, int]] | None = None
) -> Iterator[tuple[int, int, int, int]]:
    """Yield (group, first, last, time) of every stage that its group holds, alone.

    Args:
        data: the question.
        cuts: (first, last) of the stages that are looked at; None: all there are.
    """
    if cuts is None:
        cuts = combinations(range(data.layers + 1), 2)
    stages = list(cuts)
    for g, group in enumerate(data.groups):
        if group.devices <= data.stock[group.pool]:
            for first, last in stages:
                time = data.stage_ns((g, first, last))
                if time is not None:
                    yield g, first, last, time


def _stages(data: PlacementData) -> Iterator[Edge]:
    for g, first, last, ns in _fitting(data):
        yield Edge((first, -1), (last, -1), g, last - first, 0, ns, data.pipelines)


def _stages_by_group(data: PlacementData) -> Iterator[Edge]:
    """Stages begin at (first, -1) for the first of all, else at (first, group)."""
    for g, first, last, ns in _fitting(data):
        tail = (0, -1) if first == 0 else (first, g)
        # Groups after a stage are told from those before one by a number of their own.
        head = (last, -1) if last == data.layers else (last, g + len(data.groups))
        yield Edge(tail, head, g, last - first, 0, ns, data.pipelines)


def _hops(data: PlacementData) -> Iterator[Edge]:
    for layer in range(1, data.layers):
        for g, row in enumerate(data.hop_ns):
            for h, ns in enumerate(row):
                tail, head = (layer, g + len(data.groups)), (layer, h)
                yield Edge(tail, head, -1, 0, 0, ns, data.pipelines)


def _by_count(data: PlacementData) -> Iterator[Edge]:
    """Of stages inside the longest run one of each group and length is enough."""
    start, stop = longest_run(data)
    cuts = [
        (first, last)
        for first in range(data.layers)
        for last in range(first + 1, data.layers + 1)
        if not start + 1 < first < stop or last >= stop
    ]
    for g, first, last, ns in _fitting(data, cuts):
        tail = (INSIDE, -1) if start < first < stop else (first, -1)
        head = (INSIDE, -1) if start < last < stop else (last, -1)
        inside = max(0, min(last, stop) - max(first, start))
        most = data.layers // inside if tail == head else 1
        yield Edge(tail, head, g, last - first, inside, ns, most)


def longest_run(data: PlacementData) -> tuple[int, int]:
    """Return the first layer of the longest run of equal layers, and the layer after its last."""
    r = max(range(len(data.runs)), key=lambda r: data.runs[r][1])
    return data.starts[r], data.starts[r + 1]
