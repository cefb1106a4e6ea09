"""Transport: which share of each class of work goes to which group, so that the busiest is eased.

Sets        g in G            groups of machines
            c in C            classes of work
            r in R[g]         resources of a group
Data        w[g,r,c]  time    of all of class c on resource r of a machine of g
            n[g]              machines of g, which share what the group gets
            d[g,c]    time    delay of class c in g, counted where use does not decide
Variables   x[g,c] in [0,1]   share of class c that goes to g
            u         time    use of the busiest resource
Objective   min u, then with u at most `SLACK` above that   min sum_gc d[g,c] x[g,c]

A class may be split, but a vertex splits no more classes than there are busiest resources. Shares
are then rounded to a grid, largest remainders first, so that those of a class add up to one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from ortools.math_opt.python import mathopt

Float = NDArray[np.float64]
SLACK = 0.05
"""Of the least use: what delays may cost. Use is a bound on work, and is known no better."""

DIGITS = 6
"""Of a share in units of the grid: the rest is noise of the solver."""


@dataclass(frozen=True)
class Transport:
    """What is asked.

    Attributes:
        work: w, of each group (resources, classes), not negative, not all zero.
        machines: n, each at least 1.
        delay: d, (groups, classes), not negative.
    """

    work: tuple[Float, ...]
    machines: tuple[int, ...]
    delay: Float


def transport(asked: Transport, grid: int) -> NDArray[np.int64]:
    """Return (groups, classes) shares in units of 1 / `grid`; those of a class add up to `grid`."""
    shares = np.array([on_grid(column, grid) for column in _solved(asked).T], dtype=np.int64)
    return np.ascontiguousarray(shares.T)


def use(asked: Transport, shares: Float) -> float:
    """Return u of shares, whose classes each add up to 1."""
    groups = zip(asked.work, shares, asked.machines, strict=True)
    return max(float((work @ x).max()) / n for work, x, n in groups)


def on_grid(shares: Sequence[float] | Float, grid: int) -> list[int]:
    """Return shares in units of 1 / `grid`, largest remainders rounded up, of equal ones the first.

    They add up to `grid` as the shares add up to 1.
    """
    units = [round(float(share) * grid, DIGITS) for share in shares]
    whole = [int(unit) for unit in units]
    order = sorted(range(len(units)), key=lambda i: (whole[i] - units[i], i))
    for i in order[: grid - sum(whole)]:
        whole[i] += 1
    return whole


def _solved(asked: Transport) -> Float:
    """Return x."""
    groups, classes = asked.delay.shape
    scale = max(float(work.max()) for work in asked.work)
    model = mathopt.Model()
    x = [[model.add_variable(lb=0.0) for _ in range(classes)] for _ in range(groups)]
    u = model.add_variable(lb=0.0)
    for c in range(classes):
        model.add_linear_constraint(mathopt.fast_sum([x[g][c] for g in range(groups)]) == 1.0)
    for g, (work, n) in enumerate(zip(asked.work, asked.machines, strict=True)):
        for row in work / (n * scale):
            terms = [float(w) * x[g][c] for c, w in enumerate(row)]
            model.add_linear_constraint(mathopt.fast_sum(terms) <= u)
    model.minimize(u)
    least = float(_vertex(model).variable_values(u))
    u.upper_bound = least * (1.0 + SLACK)
    most = float(asked.delay.max()) or 1.0
    model.minimize(
        mathopt.fast_sum(
            [
                float(asked.delay[g, c]) / most * x[g][c]
                for g in range(groups)
                for c in range(classes)
            ]
        )
    )
    found = _vertex(model).variable_values()
    return np.array([[found[v] for v in row] for row in x])


def _vertex(model: mathopt.Model) -> mathopt.SolveResult:
    result = mathopt.solve(model, mathopt.SolverType.GLOP)
    if result.termination.reason != mathopt.TerminationReason.OPTIMAL:
        raise AssertionError(f"a transport has an optimum: {result.termination}")
    return result
