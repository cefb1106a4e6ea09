"""What `apexopt audit` prints: conflicts and what would help, or what binds and what it costs."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from pathlib import Path

from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from apex_opt.auditing.result import Audit, Carried, Conflict, Entry, Held, Relaxation
from apex_opt.report.layout import BAD, GOOD, QUIET, Section, pairs, section, show, table
from apex_opt.report.numbers import figure

STYLES = {"feasible": GOOD, "infeasible": BAD, "undecided": "yellow"}
_WHOLE = {
    "infeasible": "What makes the whole spec feasible",
    "undecided": "What is known to make it feasible",
}
SCREEN_LINES = 50
"""What an audit takes at the most: a window of an ordinary screen."""

_BELOW: list[RenderableType] = [
    Text("any change that makes the whole spec feasible would do: see below", style=QUIET)
]
DETAILS = ((10, False), (6, False), (3, False), (2, False), (1, False), (1, True))
"""Changes of a conflict that are told, and whether in few words: the first with which all fits."""

MOST_BARRED = 2
"""Changes made together of which is told how far each is proved to be too little."""

MOST_FILE = 24
"""Characters of a path that stands beside each entry; of a longer one the name of the file does."""


def render(audit: Audit, console: Console) -> None:
    """Print an audit for people, at the width of the console, with as much as fits a screen."""
    for most, brief in DETAILS:
        sections = list(_sections(audit, most, brief=brief))
        if _lines(sections, console.width) <= SCREEN_LINES:
            break
    show(console, sections)


def _lines(sections: Sequence[Section], width: int) -> int:
    """Return how many lines sections take on a console of a width."""
    file = io.StringIO()
    show(Console(file=file, width=width, color_system=None), sections)
    return file.getvalue().count("\n")


def as_text(audit: Audit, width: int = 100) -> str:
    """Return what `render` prints, without colour, on a console of `width` columns."""
    file = io.StringIO()
    render(audit, Console(file=file, width=width, color_system=None))
    return file.getvalue()


def _sections(audit: Audit, most: int, *, brief: bool) -> Iterator[Section]:
    head = [(audit.text, STYLES[audit.status])]
    if audit.best is not None:
        head.append((f"\nbest: {audit.best}", ""))
    asked = f"{audit.questions:,} questions, {audit.simulated:,} plans simulated"
    yield section(Text.assemble(*head, "\n", (f"{audit.model}; {asked}", QUIET)))
    several = len(audit.conflicts) > 1
    for conflict in audit.conflicts:
        whole = several and bool(audit.relaxations) and conflict.relaxations == audit.relaxations
        if brief:
            yield _in_brief(conflict, whole)
        else:
            known = _BELOW if whole else _relaxations(conflict.relaxations, most, several)
            yield _conflict(conflict, known)
    if audit.relaxations and audit.status in _WHOLE and len(audit.conflicts) != 1:
        yield section(_WHOLE[audit.status], *_relaxations(audit.relaxations, most))
    if audit.near is not None and not _told_above(audit):
        words = Text("; ".join(audit.near.misses))
        yield section(f"Closest, but not meeting the spec: {audit.near.plan}", words)
    if audit.held:
        yield _held(audit)
    if audit.carried is not None:
        yield _carried(audit.carried)
    if audit.alternatives:
        rows = [(a.plan, a.reason) for a in audit.alternatives]
        yield section("What came close, and why it lost", pairs(rows))


def _told_above(audit: Audit) -> bool:
    """Whether the closest plan is told already: with the first change, or with the conflict."""
    near, changes, conflicts = audit.near, audit.relaxations, audit.conflicts
    assert near is not None
    if len(conflicts) == 1 and all(w in conflicts[0].text for w in (near.plan, *near.misses)):
        return True
    return bool(changes) and near.misses == tuple(f"needs: {c.words}" for c in changes[0].changes)


def place(entry: Entry) -> str:
    """Return where an entry stands: `spec.toml:12`; empty for a spec that comes from no file."""
    if entry.line is None or entry.file is None:
        return ""
    file = entry.file if len(entry.file) <= MOST_FILE else Path(entry.file).name
    return f"{file}:{entry.line}"


def _conflict(conflict: Conflict, relaxations: list[RenderableType]) -> Section:
    grid = _wrapped("these cannot hold together", "value", "")
    for entry in conflict.entries:
        where = "default" if entry.default else place(entry)
        grid.add_row(Text(entry.key), Text(entry.value), Text(where))
    parts: list[RenderableType] = [Text(conflict.text)]
    if conflict.entries:
        parts.append(grid)
    if not conflict.irreducible:
        parts.append(
            Text(
                "perhaps fewer of them: neither time nor simulations sufficed to tell", style=QUIET
            )
        )
    parts += relaxations
    if conflict.helpless:
        parts.append(Text("of no help alone: " + ", ".join(conflict.helpless), style=QUIET))
    if conflict.unknown:
        words = "not found to help alone, nor excluded: " + ", ".join(conflict.unknown)
        parts.append(Text(words, style=QUIET))
    return section(f"Conflict: {conflict.code}", *parts)


def _in_brief(conflict: Conflict, whole: bool) -> Section:
    """Return a conflict in few lines, with the smallest change."""
    members = []
    for entry in conflict.entries:
        where = "default" if entry.default else place(entry)
        members.append(f"`{entry.key}` = {entry.value}" + (f" ({where})" if where else ""))
    parts: list[RenderableType] = [Text(conflict.text), Text("; ".join(members))]
    if whole:
        parts += _BELOW
    elif conflict.relaxations:
        parts.append(Text(f"others cured, would do: {conflict.relaxations[0].text}"))
    return section(f"Conflict: {conflict.code}", *parts)


def _relaxations(
    found: tuple[Relaxation, ...], most: int, several: bool = False
) -> list[RenderableType]:
    """Return lines of what would do, smallest change first, and how many more there are."""
    if not found:
        return [Text("no change of these alone, or of two of them, was found to do")]
    grid = _wrapped(f"any of these would do{', others cured' if several else ''}", "least?", "plan")
    for one in found[:most]:
        plan = one.plan.replace(" + ", " +\n")
        grid.add_row(Text(one.text), Text(_least(one)), Text(plan))
    left = len(found) - most
    return [grid, *([Text(f"and {left:,} more: see `--json -`", style=QUIET)] if left > 0 else [])]


def _wrapped(first: str, *others: str) -> Table:
    """Return an empty table in which every column may be wrapped: none pushes another out."""
    grid = table(first, *others)
    for column in grid.columns:
        column.no_wrap, column.overflow = False, "fold"
    return grid


def _least(one: Relaxation) -> str:
    """Return whether a change is proved to be the smallest, else what is proved too little."""
    if one.smallest == "proved":
        return "proved"
    if len(one.changes) > MOST_BARRED:
        return "less may do"
    return " and ".join(f"not {c.barred}" for c in one.changes if c.barred) or "less may do"


def _held(audit: Audit) -> Section:
    """Return what the best plan uses of each entry; those of no matter in a line."""
    grid = _wrapped("entry", "value", "used", "slack", "without it")
    for row in (row for row in audit.held if not _idle(row)):
        slack = "" if row.slack is None else f"{row.slack:.0f} %"
        value = Text(row.entry.value)
        grid.add_row(Text(row.entry.key), value, row.used or "", slack, _without(row, audit))
    steps = [(row.entry.key, row.step) for row in audit.held if row.step]
    parts: list[RenderableType] = [grid] if grid.row_count else []
    for proved, words in ((True, "no better without"), (False, "none better found without")):
        keys = [r.entry.key for r in audit.held if _idle(r) and r.proved == proved]
        if keys:
            parts.append(Text(f"{words}: {', '.join(keys)}", style=QUIET))
    return section("What binds, and what it costs", *parts, *([pairs(steps)] if steps else []))


def _idle(row: Held) -> bool:
    """Whether there is nothing to tell of an entry but that it does not bind."""
    return row.used is None and not row.binds and row.without is not None


def _carried(found: Carried) -> Section:
    key, asked = found.entry.key, found.entry.value
    most = f"`{key}` {asked} -> {found.value}: met by {found.plan}"
    if found.value == asked:
        most = f"no plan was found for more than `{key}` = {asked}"
    if found.barred is not None:
        most += f"; {found.barred}: excluded by bounds"
    return section("How much more demand it would carry", Text(most))


def _without(row: Held, audit: Audit) -> str:
    if row.without is None:
        return "not found in the time"
    if not row.binds:
        return "no better" if row.proved else "none better found"
    return f"{figure(row.without)} {audit.unit}"
