"""A linear programme in exact arithmetic, small and slow: what the verifier trusts."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

Tableau = list[list[int]]


def lexicographic_maximum(
    goals: Sequence[Sequence[int]], rows: Sequence[Sequence[int]], limits: Sequence[int]
) -> list[Fraction]:
    """Return the greatest goals[0] x, then the greatest goals[1] x that this leaves, and so on.

    Over all x >= 0 with rows x <= limits. All numbers are integers and limits >= 0, so that x = 0
    is a start. The simplex method with Bland's rule, which ends; integers over one common
    denominator, which is the last pivot.

    Raises:
        ValueError: a goal has no greatest value, or a limit is negative.

    Source: J. Edmonds, "Systems of distinct representatives and linear algebra", 1967 (integer
    pivoting); R. G. Bland, "New finite pivoting rules for the simplex method", 1977.
    """
    if any(limit < 0 for limit in limits):
        raise ValueError("limits must not be negative")
    slacks = [[int(i == k) for k in range(len(rows))] for i in range(len(rows))]
    table = [
        [*row, *slack, limit] for row, slack, limit in zip(rows, slacks, limits, strict=True)
    ] + [[*(-c for c in goal), *([0] * (len(rows) + 1))] for goal in goals]
    n = len(table[0]) - 1 - len(rows)
    basis = list(range(n, n + len(rows)))
    denominator = 1
    while (column := _entering(table[len(rows) :])) is not None:
        row = _leaving(table[: len(rows)], basis, column)
        denominator = _pivot(table, row, column, denominator)
        basis[row] = column
    return [Fraction(goal[-1], denominator) for goal in table[len(rows) :]]


def _entering(goals: Tableau) -> int | None:
    """The first column whose costs, read as one lexicographic number, are negative."""
    for column in range(len(goals[0]) - 1):
        costs = (goal[column] for goal in goals)
        if next((cost for cost in costs if cost), 0) < 0:
            return column
    return None


def _leaving(body: Tableau, basis: list[int], column: int) -> int:
    """The row that limits the column most; of equals, the one whose variable comes first."""
    rows = [i for i, row in enumerate(body) if row[column] > 0]
    if not rows:
        raise ValueError("a goal has no greatest value")
    return min(rows, key=lambda i: (Fraction(body[i][-1], body[i][column]), basis[i]))


def _pivot(table: Tableau, row: int, column: int, denominator: int) -> int:
    """Make `column` basic in `row`; return the new common denominator."""
    chosen = table[row]
    pivot = chosen[column]
    for i, other in enumerate(table):
        if i != row:
            factor = other[column]
            table[i] = [
                (a * pivot - factor * b) // denominator for a, b in zip(other, chosen, strict=True)
            ]
    return pivot
