"""A rule alone: variables are pinned, the solver only checks."""

from collections.abc import Sequence

from ortools.sat.python.cp_model import OPTIMAL, CpSolver

from apex_opt.solvers.fleet_data import FleetData
from apex_opt.solvers.fleet_rules import build
from apex_opt.solvers.fleet_vars import Rule


def holds(
    rule: Rule,
    data: FleetData,
    n: Sequence[int] = (),
    y: Sequence[Sequence[int]] = (),
    u: int = 0,
    used: Sequence[int] | None = None,
) -> bool:
    """Whether the rule alone allows these values; `used` follows from n unless it is given."""
    m, v = build(data, (rule,))
    for variable, count in zip(v.n, n, strict=False):
        m.add(variable == count)
    for variable, flag in zip(v.used, [c > 0 for c in n] if used is None else used, strict=False):
        m.add(variable == flag)
    for row, shares in zip(v.y, y, strict=False):
        for variable, share in zip(row, shares, strict=True):
            m.add(variable == share)
    m.add(v.u == u)
    solver = CpSolver()
    solver.parameters.num_workers = 1
    return solver.solve(m) == OPTIMAL
