"""The variables of the fleet model, named as in `fleet_rules`, and the shape of its rules."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from ortools.sat.python.cp_model import BoundedLinearExpression, CpModel, IntVar, LinearExpr

from apex_opt.solvers.fleet_data import SHARE, FleetData
from apex_opt.solvers.packing import is_chain, patterns

Row = tuple[str, "BoundedLinearExpression | bool"]


@dataclass(frozen=True)
class Vars:
    """Variables, named as in the module's docstring; `x[p]` is empty where sizes form a chain."""

    n: list[IntVar]
    used: list[IntVar]
    y: list[list[LinearExpr]]
    apart: dict[int, IntVar]
    u: IntVar
    x: list[list[IntVar]]
    d: list[IntVar]


Rule = Callable[[FleetData, Vars], Iterator[Row]]


def make_vars(m: CpModel, a: FleetData) -> Vars:
    """Add the variables of `a` to `m`."""
    fills = [
        () if is_chain(sizes) else patterns(pool.node_devices, sizes)
        for pool, sizes in zip(a.pools, a.sizes, strict=True)
    ]
    used = [m.new_bool_var(f"used[{r}]") for r in range(len(a.kinds))]
    return Vars(
        n=[m.new_int_var(0, kind.max_count, f"n[{r}]") for r, kind in enumerate(a.kinds)],
        used=used,
        y=[[_share(m, a, r, j, used[r]) for j in range(a.features)] for r in range(len(a.kinds))],
        apart={f: m.new_bool_var(f"apart[{f}]") for f in a.caches},
        u=m.new_int_var(0, SHARE if a.sense == "max" else 0, "u"),
        x=[
            [m.new_int_var(0, a.pools[p].nodes, f"x[{p},{k}]") for k in range(len(fill))]
            for p, fill in enumerate(fills)
        ],
        d=[
            m.new_int_var(0, kind.max_count, f"d[{r}]")
            for r, kind in enumerate(a.kinds)
            if a.start or a.starts is not None
        ],
    )


def _share(m: CpModel, a: FleetData, r: int, j: int, used: IntVar) -> LinearExpr:
    """Return y[r,j]; where only one kind may be used it serves all or nothing: S used[r]."""
    if a.max_kinds == 1 and a.sense == "min":
        return (SHARE if a.serves(r, j) else 0) * used
    return m.new_int_var(0, a.most[r][j], f"y[{r},{j}]")


def total(variables: Sequence[LinearExpr], coefficients: Sequence[int]) -> LinearExpr:
    """Return sum_i coefficients[i] variables[i]."""
    return LinearExpr.weighted_sum(variables, coefficients)
