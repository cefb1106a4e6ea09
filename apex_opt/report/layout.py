"""How a report looks: titled sections, tables without frames, all of it readable without colour."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from rich import box
from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.padding import Padding
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

GOOD, BAD, QUIET = "green", "bold red", "dim"


@dataclass(frozen=True)
class Verbatim:
    """Lines that are copied elsewhere: never wrapped, never cut."""

    text: str


@dataclass(frozen=True)
class Section:
    """A titled part of a report."""

    title: Text
    parts: tuple[RenderableType | Verbatim, ...]


@dataclass(frozen=True)
class Trimmed:
    """What is left of `part` without the blanks at the ends of its lines."""

    part: RenderableType

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for line in console.render_lines(self.part, options, pad=False):
            while line and not line[-1].text.strip():
                line.pop()
            if line:
                line[-1] = Segment(line[-1].text.rstrip(), line[-1].style)
            yield from line
            yield Segment.line()


def section(title: str | Text, *parts: RenderableType | Verbatim) -> Section:
    """Return a section; its content will be indented."""
    return Section(Text(title, style="bold") if isinstance(title, str) else title, parts)


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
    grid.add_column(overflow="fold", style=QUIET)
    grid.add_column(overflow="fold")
    for name, words in rows:
        grid.add_row(Text(name), Text(words))
    return grid


def show(console: Console, sections: Iterable[Section]) -> None:
    """Print sections, an empty line between them."""
    for number, shown in enumerate(sections):
        if number:
            console.print()
        console.print(Trimmed(shown.title))
        for part in shown.parts:
            if isinstance(part, Verbatim):
                lines = "\n".join(f"  {line}" for line in part.text.splitlines())
                console.print(Text(lines), soft_wrap=True)
            else:
                console.print(Trimmed(Padding(part, (0, 0, 0, 2))), end="")
