"""What `apexopt audit` prints: conflicts and what would help, or what binds and what it costs."""

from __future__ import annotations

import io
from collections.abc import Iterator

from rich.console import Console, RenderableType
from rich.text import Text

from apex_opt.auditing.result import Audit, Carried, Conflict, Entry, Held, Relaxation
from apex_opt.report.layout import BAD, GOOD, QUIET, Section, pairs, section, show, table
from apex_opt.report.numbers import figure

STYLES = {"feasible": GOOD, "infeasible": BAD, "undecided": "yellow"}
_WHOLE = {
    "infeasible": "What makes the whole spec feasible",
    "undecided": "What is known to make it feasible",
}
MOST_RELAXATIONS = 6


def render(audit: Audit, console: Console) -> None:
    """Print an audit for people, at the width of the console."""
    show(console, _sections(audit))


def as_text(audit: Audit, width: int = 100) -> str:
    """Return what `render` prints, without colour, on a console of `width` columns."""
    file = io.StringIO()
    render(audit, Console(file=file, width=width, color_system=None))
    return file.getvalue()


def _sections(audit: Audit) -> Iterator[Section]:
    head = [(audit.text, STYLES[audit.status])]
    if audit.best is not None:
        head.append((f"\nbest: {audit.best}", ""))
    asked = f"{audit.questions:,} questions, {audit.simulated:,} plans simulated"
    yield section(Text.assemble(*head, "\n", (f"{audit.model}; {asked}", QUIET)))
    for conflict in audit.conflicts:
        yield _conflict(conflict, len(audit.conflicts) > 1)
    if audit.relaxations and audit.status in _WHOLE and len(audit.conflicts) != 1:
        yield section(_WHOLE[audit.status], *_relaxations(audit.relaxations))
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
    """Whether the closest plan is that of the first change, and misses what this changes."""
    near, changes = audit.near, audit.relaxations
    assert near is not None
    return bool(changes) and near.misses == tuple(f"needs: {c.words}" for c in changes[0].changes)


def place(entry: Entry) -> str:
    """Return where an entry stands: `spec.toml:12`; empty for a spec that comes from no file."""
    return "" if entry.line is None else f"{entry.file}:{entry.line}"


def _conflict(conflict: Conflict, several: bool) -> Section:
    grid = table("these cannot hold together", "value", "")
    for entry in conflict.entries:
        where = "default" if entry.default else place(entry)
        grid.add_row(Text(entry.key), Text(entry.value), Text(where))
    parts: list[RenderableType] = [Text(conflict.text)]
    if conflict.entries:
        parts.append(grid)
    if not conflict.irreducible:
        parts.append(Text("perhaps fewer of them: the time did not suffice to tell", style=QUIET))
    parts += _relaxations(conflict.relaxations, "with the other conflicts cured" if several else "")
    if conflict.helpless:
        parts.append(Text("of no help alone: " + ", ".join(conflict.helpless), style=QUIET))
    if conflict.unknown:
        words = "not found to help alone, nor excluded: " + ", ".join(conflict.unknown)
        parts.append(Text(words, style=QUIET))
    return section(f"Conflict: {conflict.code}", *parts)


def _relaxations(found: tuple[Relaxation, ...], when: str = "") -> list[RenderableType]:
    """Return lines of what would do, smallest change first."""
    if not found:
        return [Text("no change of these alone, or of two of them, was found to do")]
    grid = table(f"any of these would do{', ' + when if when else ''}", "least?", "plan")
    for one in found[:MOST_RELAXATIONS]:
        grid.add_row(Text(one.text), Text(_least(one)), Text(one.plan))
    return [grid]


def _least(one: Relaxation) -> str:
    """Return whether a change is proved to be the smallest, else what is proved too little."""
    if one.smallest == "proved":
        return "proved"
    return " and ".join(f"not {c.barred}" for c in one.changes if c.barred) or "less may do"


def _held(audit: Audit) -> Section:
    grid = table("entry", "value", "used", "slack", "without it")
    for row in audit.held:
        slack = "" if row.slack is None else f"{row.slack:.0f} %"
        value = Text(row.entry.value)
        grid.add_row(Text(row.entry.key), value, row.used or "", slack, _without(row, audit))
    steps = [(row.entry.key, row.step) for row in audit.held if row.step]
    return section("What binds, and what it costs", grid, *([pairs(steps)] if steps else []))


def _carried(found: Carried) -> Section:
    most = f"`{found.entry.key}` {found.entry.value} -> {found.value}: met by {found.plan}"
    if found.barred is not None:
        most += f"; {found.barred}: excluded by bounds"
    return section("How much more demand it would carry", Text(most))


def _without(row: Held, audit: Audit) -> str:
    if row.without is None:
        return "not found in the time"
    if not row.binds:
        return "no better" if row.proved else "none better found"
    return f"{figure(row.without)} {audit.unit}"
