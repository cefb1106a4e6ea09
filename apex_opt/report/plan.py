"""The sections that any simulated plan has, found by `solve` or made by hand."""

from __future__ import annotations

from collections.abc import Iterator

from rich.text import Text

from apex_opt.plan.result import Plan
from apex_opt.report.band import grounds
from apex_opt.report.binding import binding
from apex_opt.report.classes import classes
from apex_opt.report.latency import latency
from apex_opt.report.layout import Section
from apex_opt.report.levels import levels
from apex_opt.report.memory import memory
from apex_opt.report.numbers import money, plural
from apex_opt.report.place import place
from apex_opt.report.start import start
from apex_opt.report.usage import usage


def headline(plan: Plan) -> Text:
    """Return the plan in a sentence: `1 x h100 TP8 bf16: 8 devices, $23.60 an hour`."""
    price = f"{money(plan.cost_per_hour)} an hour" if plan.cost_per_hour else "no price given"
    return Text(f"{plan.label}: {plural(plan.devices, 'device')}, {price}", style="bold")


def performance(plan: Plan) -> Iterator[Section]:
    """Yield what the simulation shows, and what the limits are."""
    yield from levels(plan)
    yield latency(plan.prediction)
    yield usage(plan)
    if plan.prediction.band is not None:
        yield grounds(plan.prediction.band)
    yield from map(memory, plan.deployments)
    yield binding(plan)


def deployment(plan: Plan, model: str) -> Iterator[Section]:
    """Yield where the plan stands and how it is started."""
    yield place(plan)
    yield from classes(plan)
    yield start(plan, model)
