"""Progress of the search, on stderr, where somebody looks at it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, SpinnerColumn, Task, TextColumn
from rich.table import Column
from rich.text import Text

from apex_opt.plan.events import Event, Listen


class Elapsed(ProgressColumn):
    """Time since the start; Rich's own column stands still once a phase has been complete."""

    def render(self, task: Task) -> Text:
        """Return the time in hours, minutes and seconds."""
        return Text(str(timedelta(seconds=int(task.elapsed or 0))))


class Bar:
    """A line that shows the phase, how far it is, and the best plan so far."""

    def __init__(self, shown: Progress) -> None:
        self.shown = shown
        self.task = shown.add_task("", total=None, best="")

    def __call__(self, event: Event) -> None:
        """Show an event."""
        words = event.phase if event.total or not event.done else f"{event.phase}: {event.done:,}"
        best = f"best: {event.best}" if event.best else ""
        self.shown.update(
            self.task, description=words, completed=event.done, total=event.total, best=best
        )


@contextmanager
def progress(*, quiet: bool = False, console: Console | None = None) -> Iterator[Listen]:
    """Yield what to tell of events; it shows nothing if `quiet`, or where no terminal is.

    Args:
        quiet: show nothing.
        console: where to show; default: stderr.
    """
    console = console or Console(file=sys.stderr)
    one_line = Column(no_wrap=True, overflow="ellipsis")
    columns = (
        SpinnerColumn("line"),
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=20),
        Elapsed(),
        TextColumn("{task.fields[best]}", markup=False, table_column=one_line),
    )
    hidden = quiet or not console.is_terminal
    with Progress(*columns, console=console, transient=True, disable=hidden) as shown:
        yield Bar(shown)
