"""The model of placement: which edges of its graph are taken, and what that must not exceed.

Sets        e in E                edges of the graph of `placement_graph`: stages and hops
            c in C                copies: one, that holds all pipelines, or one a pipeline if each
                                  has limits of its own
Data        t[e]  ns              time of the stage or hop
            P                     pipelines of a copy
Variables   x[c,e] in 0..most[e]  how often it occurs
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from ortools.sat.python.cp_model import BoundedLinearExpression, CpModel, IntVar, LinearExpr

from apex_opt.solvers.placement_data import PlacementData
from apex_opt.solvers.placement_graph import Edge, Graph, Vertex, longest_run

Row = tuple[str, BoundedLinearExpression | bool]


@dataclass(frozen=True)
class Vars:
    """The edges that are allowed, and x[c] beside them."""

    graph: Graph
    edges: tuple[Edge, ...]
    x: tuple[tuple[IntVar, ...], ...]
    paths: int


Rule = Callable[[PlacementData, Vars], Iterator[Row]]


def _total(v: Vars, coefficient: Callable[[Edge], int], copy: int | None = None) -> LinearExpr:
    """sum_e coefficient(e) x[c,e], of one copy or of all."""
    copies = v.x if copy is None else (v.x[copy],)
    return LinearExpr.sum(
        [LinearExpr.weighted_sum(row, [coefficient(e) for e in v.edges]) for row in copies]
    )


def paths_go_through(_: PlacementData, v: Vars) -> Iterator[Row]:
    """sum_{e out of u} x[c,e] - sum_{e into u} x[c,e] = P at the begin, -P at the end, else 0."""
    out, into = defaultdict[Vertex, list[int]](list), defaultdict[Vertex, list[int]](list)
    for i, edge in enumerate(v.edges):
        if edge.tail != edge.head:
            out[edge.tail].append(i)
            into[edge.head].append(i)
    for u in sorted({*out, *into, v.graph.begin, v.graph.end}):
        net = v.paths if u == v.graph.begin else -v.paths if u == v.graph.end else 0
        for c, row in enumerate(v.x):
            leaving = LinearExpr.sum([row[i] for i in out[u]])
            yield f"copy {c}, {u}", leaving - LinearExpr.sum([row[i] for i in into[u]]) == net


def run_is_held(a: PlacementData, v: Vars) -> Iterator[Row]:
    """By count:  sum_e run_layers[e] x[e] = layers of the longest run."""
    if v.graph.by_count:
        start, stop = longest_run(a)
        yield "run", _total(v, lambda e: e.run_layers) == stop - start


def stock_suffices(a: PlacementData, v: Vars) -> Iterator[Row]:
    """sum_{c, e on pool p} devices[e] x[c,e] <= stock[p]    for each pool p."""
    for p, devices in enumerate(a.stock):

        def taken(e: Edge, p: int = p) -> int:
            on_pool = e.group >= 0 and a.groups[e.group].pool == p
            return a.groups[e.group].devices if on_pool else 0

        yield f"pool {p}", _total(v, taken) <= devices


def power_within(a: PlacementData, v: Vars) -> Iterator[Row]:
    """sum_ce power_mw[e] x[c,e] <= power_mw."""
    if a.power_mw is not None:
        power = _total(v, lambda e: a.groups[e.group].power_mw if e.group >= 0 else 0)
        yield "plan", power <= a.power_mw


def stages_within(a: PlacementData, v: Vars) -> Iterator[Row]:
    """sum_{e a stage} x[c,e] <= stages    for c in C."""
    if a.stages is not None:
        for c in range(len(v.x)):
            yield f"copy {c}", _total(v, lambda e: int(e.group >= 0), c) <= a.stages


def latency_within(a: PlacementData, v: Vars) -> Iterator[Row]:
    """sum_e t[e] x[c,e] + hops that are no edges <= latency_ns    for c in C."""
    if a.latency_ns is not None:
        for c in range(len(v.x)):
            yield f"copy {c}", latency(v, c) <= a.latency_ns


def latency(v: Vars, copy: int | None = None) -> LinearExpr:
    """sum_e t[e] x[c,e] + hop_ns (stages - pipelines), of one copy or of all."""
    hop = v.graph.hop_ns
    paths = v.paths * (len(v.x) if copy is None else 1)
    return _total(v, lambda e: e.ns + (hop if e.group >= 0 else 0), copy) - hop * paths


STRUCTURE: tuple[Rule, ...] = (paths_go_through, run_is_held)
LIMITS: tuple[Rule, ...] = (stock_suffices, power_within, stages_within, latency_within)


def build(
    a: PlacementData, g: Graph, slowest_ns: int | None = None, rules: tuple[Rule, ...] = ()
) -> tuple[CpModel, Vars]:
    """Return the model of `a` under `rules` (by default all), without an objective.

    Args:
        a: the question.
        g: its graph.
        slowest_ns: slower stages and hops are left out.
        rules: the rules that hold.
    """
    m = CpModel()
    edges = tuple(e for e in g.edges if slowest_ns is None or e.ns <= slowest_ns)
    limited = a.stages is not None or a.latency_ns is not None
    copies = a.pipelines if limited else 1
    paths = a.pipelines // copies
    x = tuple(
        tuple(
            m.new_int_var(0, e.most if g.by_count else paths, f"x[{c},{i}]")
            for i, e in enumerate(edges)
        )
        for c in range(copies)
    )
    v = Vars(g, edges, x, paths)
    for rule in rules or STRUCTURE + LIMITS:
        for whose, row in rule(a, v):
            m.add(row).with_name(f"{rule.__name__}: {whose}")
    return m, v
