"""The plans that came next, why the first one won, and those that were turned down."""

from __future__ import annotations

from functools import partial

from rich.text import Text

from apex_opt.plan.result import Plan, Result
from apex_opt.report.band import NINE_IN_TEN, between, value_ends
from apex_opt.report.layout import QUIET, Section, pairs, section, table
from apex_opt.report.numbers import count, figure, money, percent

DOLLARS = "USD/h"
MOST_REJECTED = 5
FOUND = "found, but not proved to come next"
TIED = "tied with the first within the error of the prediction"


def why(result: Result) -> Section:
    """Return what the first plan is best at, and how far the next one is behind."""
    first = result.plans[0]
    span = " while requests arrive" if result.objective.startswith("maximize") else ""
    words = f"{result.objective.capitalize()}: {_worth(first, result.unit)}{span}."
    if len(result.plans) > 1:
        words += f" {_margin(result, first, result.plans[1])}"
    return section("Why it won", Text(words))


def _margin(result: Result, first: Plan, second: Plan) -> str:
    """Return how the best runner-up compares, in a sentence."""
    if second.objective == first.objective:
        slower = second.prediction.e2e_ms.mean / first.prediction.e2e_ms.mean - 1
        order = f"its mean E2E is {percent(slower)} longer" if slower > 0 else "is no faster"
        return f"The best other plan, {second.label}, is as good but {order}."
    best = result.proof.ranked >= second.rank
    which = "The best other plan" if best else "The next plan that was found"
    behind = abs(second.objective - first.objective) / abs(first.objective or 1.0)
    worth = _worth(second, result.unit)
    tied = ", which is within the error of the prediction: a tie" if second.tie else ""
    return f"{which}, {second.label}, is {percent(behind)} worse: {worth}{tied}."


def _worth(plan: Plan, unit: str) -> str:
    """Return what a plan reaches on the objective."""
    return f"{money(plan.objective)} an hour" if unit == DOLLARS else count(plan.objective, unit)


def runners_up(result: Result) -> Section:
    """Return a table of all plans, best first."""
    columns = {DOLLARS: _dollars, "devices": _devices, "TTFT p99": _ttft, "TPOT p99": _tpot}
    if result.unit not in columns:
        banded = any(plan.prediction.band for plan in result.plans)
        name = result.objective.rpartition(" ")[2]
        within = {NINE_IN_TEN: partial(_within, name)} if banded else {}
        columns = {result.unit: _objective, **within, **columns}
    elif any(plan.prediction.extra_cost_per_hour for plan in result.plans):
        columns = {"USD/h in all": _in_all, **columns}
    grid = table("plan", *columns)
    for plan in result.plans:
        label = Text(f"{plan.rank}. {plan.label}")
        if plan.tie:
            label.append(" *", QUIET)
        grid.add_row(label, *(text(plan) for text in columns.values()))
    notes = [f"* {TIED}"] if any(plan.tie for plan in result.plans) else []
    found = [f"{plan.rank}" for plan in result.plans[1:] if plan.rank > result.proof.ranked]
    notes += [f"{', '.join(found)}: {FOUND}"] if found else []
    return section("The best plans of each kind", grid, *(Text(note, QUIET) for note in notes))


def _objective(plan: Plan) -> str:
    return figure(plan.objective)


def _within(name: str, plan: Plan) -> str:
    return between(value_ends(plan.prediction, name, plan.objective))


def _in_all(plan: Plan) -> str:
    return f"{plan.objective:,.2f}"


def _dollars(plan: Plan) -> str:
    return f"{plan.cost_per_hour:,.2f}"


def _devices(plan: Plan) -> str:
    return f"{plan.devices:,}"


def _ttft(plan: Plan) -> str:
    return f"{figure(plan.prediction.ttft_ms.p99)} ms"


def _tpot(plan: Plan) -> str:
    return f"{figure(plan.prediction.tpot_ms.p99)} ms"


def rejected(result: Result) -> Section:
    """Return the plans that were simulated and miss a level, with the first that they miss."""
    rows = [(plan.label, plan.reason) for plan in result.rejected[:MOST_REJECTED]]
    more = len(result.rejected) - len(rows)
    tail = [Text(f"and {more:,} more")] if more > 0 else []
    return section("Simulated and turned down", pairs(rows), *tail)
