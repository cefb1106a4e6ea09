"""Rules of stock: the groups of all replicas stand in nodes; symbols are those of `fleet_rules`."""

from __future__ import annotations

from collections.abc import Iterator

from ortools.sat.python.cp_model import LinearExpr

from apex_opt.solvers.fleet_data import FleetData
from apex_opt.solvers.fleet_vars import Row, Vars, total
from apex_opt.solvers.packing import patterns


def _whole(a: FleetData, v: Vars, p: int) -> LinearExpr:
    """Nodes that groups larger than a node take: sum_{r in R(p): g > c} (g / c) q n[r]."""
    large = [r for r in a.members[p] if a.whole_nodes(r, p)]
    each = [a.whole_nodes(r, p) * a.kinds[r].groups_in(p) for r in large]
    return total([v.n[r] for r in large], each)


def whole_nodes_fit(a: FleetData, v: Vars) -> Iterator[Row]:
    """sum_{r in R(p): g > c} (g[r] / c[p]) q[r,p] n[r] <= nodes[p]    for p in P."""
    for p, pool in enumerate(a.pools):
        yield f"pool {p}", _whole(a, v, p) <= pool.nodes


def groups_fit_chain(a: FleetData, v: Vars) -> Iterator[Row]:
    """Sizes that divide each other: for each size s <= c of pool p.

    sum_{r in R(p): s <= g <= c} g[r] q[r,p] n[r] <= free[p] floor(c / s) s,
    where free[p] = nodes[p] - sum_{r in R(p): g > c} (g / c) q n[r].

    Necessary: the groups of size >= s on one node are multiples of s, so they take at most
    floor(c / s) s of it. Sufficient: place groups by size, largest first, on any node with room.
    When a group of size s comes, all loads are multiples of s; if no node has room, each holds
    floor(c / s) s already, so with this group the row of s would be broken.

    Source: E. G. Coffman, M. R. Garey, D. S. Johnson, "Bin packing with divisible item sizes",
    Journal of Complexity 3, 1987.
    """
    for p, pool in enumerate(a.pools):
        if v.x[p]:
            continue
        for s in a.sizes[p]:
            room = pool.node_devices // s * s
            inside = [r for r in a.members[p] if s <= a.kinds[r].group_devices <= pool.node_devices]
            load = total([v.n[r] for r in inside], [a.kinds[r].devices_in(p) for r in inside])
            yield f"pool {p}, groups of {s}", load + room * _whole(a, v, p) <= room * pool.nodes


def groups_fit_patterns(a: FleetData, v: Vars) -> Iterator[Row]:
    """Sizes that do not: nodes are filled by patterns, pattern b with b[s] groups of size s.

    sum_{r in R(p): g = s} q[r,p] n[r] <= sum_b b[s] x[p,b]    for each size s
    sum_b x[p,b] <= free[p].

    Source: P. C. Gilmore, R. E. Gomory, "A linear programming approach to the cutting-stock
    problem", Operations Research 9, 1961.
    """
    for p, pool in enumerate(a.pools):
        if not v.x[p]:
            continue
        fills = patterns(pool.node_devices, a.sizes[p])
        for i, s in enumerate(a.sizes[p]):
            of_size = [r for r in a.members[p] if a.kinds[r].group_devices == s]
            wanted = total([v.n[r] for r in of_size], [a.kinds[r].groups_in(p) for r in of_size])
            yield f"pool {p}, groups of {s}", wanted <= total(v.x[p], [fill[i] for fill in fills])
        yield f"pool {p}", LinearExpr.sum(v.x[p]) + _whole(a, v, p) <= pool.nodes
