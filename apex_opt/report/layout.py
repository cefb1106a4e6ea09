"""How a report looks: titled sections, tables without frames, all of it readable without colour."""

from __future__ import annotations

from collections.abc import Iterable

from rich import box
from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

GOOD, BAD, QUIET = "green", "bold red", "dim"


def section(title: str, *parts: RenderableType) -> Group:
    """Return a titled part of a report, its content indented."""
    return Group(Text(title, style="bold"), *(Padding(part, (0, 0, 0, 2)) for part in parts))


def table(first: str, *others: str) -> Table:
    """Return an empty table: a column of names at the left, columns of numbers at the right."""
    grid = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, header_style="")
    grid.add_column(first, overflow="fold")
    for heading in others:
        grid.add_column(heading, justify="right", no_wrap=True)
    return grid


def pairs(rows: Iterable[tuple[str, str]]) -> Table:
    """Return lines of a name and what there is to say of it."""
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(no_wrap=True, style=QUIET)
    grid.add_column(overflow="fold")
    for name, words in rows:
        grid.add_row(Text(name), Text(words))
    return grid


def show(console: Console, parts: Iterable[RenderableType]) -> None:
    """Print parts with an empty line between them."""
    for number, part in enumerate(parts):
        if number:
            console.print()
        console.print(part)
