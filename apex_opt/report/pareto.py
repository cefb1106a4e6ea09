"""What `apexopt pareto` prints: what is proved, a scatter on a terminal, a line a point."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from apex_opt.plan.pareto_result import AxisRecord, Front
from apex_opt.report.band import NINE_IN_TEN, between, value_ends
from apex_opt.report.layout import GOOD, QUIET, Section, Verbatim, section, show, table
from apex_opt.report.numbers import figure

HEIGHT = 10
WIDEST = 72
MARGIN = 12
"""Columns for the figures at the left of the scatter."""

MARKS = "123456789abcdefghijklmnopqrstuvwxyz"


def render(front: Front, console: Console) -> None:
    """Print a front for people; the scatter only where there is a terminal and a choice."""
    show(console, _sections(front, console))


def _sections(front: Front, console: Console) -> Iterator[Section]:
    head = f"{_axis(front.x)} against {_axis(front.y)}"
    proof = (front.text, GOOD if front.complete else "")
    about = (f"{front.model}, {front.traffic}", QUIET)
    yield section(Text.assemble((head, "bold"), "\n", proof, "\n", about))
    if console.is_terminal and len(front.points) > 1:
        width = min(console.width - MARGIN - 4, WIDEST)
        yield section("Scatter", Verbatim("\n".join(scatter(front, max(width, 8)))))
    yield section("Points", _points(front))
    if front.notes:
        yield section("Notes", *map(Text, front.notes))


def _axis(axis: AxisRecord) -> str:
    return f"{axis.sense} {axis.name} ({axis.unit})"


def _points(front: Front) -> Table:
    columns: dict[str, list[str]] = {}
    for axis, values in (
        (front.x, [p.x for p in front.points]),
        (front.y, [p.y for p in front.points]),
    ):
        columns[axis.name] = [figure(value) for value in values]
        known = [
            between(value_ends(point.plan.prediction, axis.name, value))
            for point, value in zip(front.points, values, strict=True)
        ]
        if any(known):
            columns[f"{axis.name}, {NINE_IN_TEN}"] = known
    grid = table("point", *columns)
    grid.add_column("plan", overflow="fold")
    grid.add_column("", overflow="fold")
    rows = zip(_marks(len(front.points)), front.points, *columns.values(), strict=True)
    for mark, point, *cells in rows:
        grid.add_row(mark, *cells, Text(point.plan.label), Text(point.text))
    return grid


def _marks(count: int) -> list[str]:
    """Return a character a point, the same in scatter and table; `*` for those beyond."""
    return [MARKS[i] if i < len(MARKS) else "*" for i in range(count)]


def scatter(front: Front, width: int, height: int = HEIGHT) -> list[str]:
    """Return the points of a front as lines of characters, x to the right and y upwards.

    Args:
        front: at least one point.
        width: characters of the field, at least 2.
        height: lines of the field, at least 2.
    """
    xs, ys = [p.x for p in front.points], [p.y for p in front.points]
    field = [[" "] * width for _ in range(height)]
    for mark, x, y in zip(_marks(len(xs)), xs, ys, strict=True):
        field[height - 1 - _cell(y, ys, height)][_cell(x, xs, width)] = mark
    labels = {0: figure(max(ys)), height - 1: figure(min(ys))}
    lines = [
        f"{labels.get(row, ''):>{MARGIN}} |{''.join(cells)}".rstrip()
        for row, cells in enumerate(field)
    ]
    low, high = figure(min(xs)), figure(max(xs))
    scale = f"{low}{high:>{max(width - len(low), len(high) + 1)}}"
    names = f"{front.y.name} upwards, {front.x.name} to the right"
    foot = [f"{'':{MARGIN}} +{'-' * width}", f"{'':{MARGIN}}  {scale}", f"{'':{MARGIN}}  {names}"]
    return [*lines, *foot]


def _cell(value: float, values: Sequence[float], cells: int) -> int:
    """Return the cell of a value, from the least of all values in the first to the greatest."""
    low, high = min(values), max(values)
    return round((value - low) / (high - low) * (cells - 1)) if high > low else 0
