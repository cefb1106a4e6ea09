"""What `apexopt capacity` prints: the limit, how well it is known, and what breaks first."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Console
from rich.table import Table
from rich.text import Text

from apex_opt.plan.capacity_result import Capacity
from apex_opt.report.layout import QUIET, Section, section, show, table
from apex_opt.report.numbers import figure, money, percent, plural

RULE = (
    "Each value is the highest that was played and held below the first that did not, on a grid "
    "of steps of half as much again, then by bisection. Levels need not fall evenly: a higher "
    "value may hold again, and does not count."
)


def render_capacity(found: Capacity, console: Console) -> None:
    """Print the capacity of a plan for people, within the width of the console."""
    show(console, _sections(found))


def _sections(found: Capacity) -> Iterator[Section]:
    known = _known(found)
    lines = ("\n", known, "\n", (f"{found.model}, {found.traffic}", QUIET))
    head = (f"{found.plan}: {figure(found.value)} {found.unit}", "bold")
    yield section(Text.assemble(head, *lines))
    yield section("By seed of the traffic", _seeds(found), Text(""), Text(RULE, QUIET))
    yield section("What it takes", Text(_takes(found)))
    if found.notes:
        yield section("Notes", *map(Text, found.notes))


def _known(found: Capacity) -> str:
    """Return how well the value is known, in words."""
    near = f"each within {percent(found.tolerance)}"
    if found.interval is None:
        return f"one seed, so that chance is not known; {near}"
    low, high = figure(found.interval.low), figure(found.interval.high)
    share = percent(found.interval.confidence)
    return f"{low} to {high} with {share} confidence, {plural(len(found.seeds), 'seed')}; {near}"


def _seeds(found: Capacity) -> Table:
    grid = table("seed", found.unit, "of the spec's", "fails at", "missed there")
    for one in found.seeds:
        scale = f"{figure(one.scale)} x"
        grid.add_row(str(one.seed), figure(one.value), scale, figure(one.fails_at), one.missed)
    return grid


def _takes(found: Capacity) -> str:
    text = f"{plural(found.devices, 'device')}, router {found.router}"
    if not found.cost_per_hour:
        return text
    text += f", {money(found.cost_per_hour)} an hour"
    if found.rate_rps:
        text += f", {money(found.cost_per_hour / 3.6 / found.rate_rps)} a thousand requests"
    return text
