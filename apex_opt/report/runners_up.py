"""The plans that came next, why the first one won, and those that were turned down."""

from __future__ import annotations

from rich.console import Group
from rich.text import Text

from apex_opt.plan.result import Plan, Result
from apex_opt.report.layout import pairs, section, table
from apex_opt.report.levels import level_name, room, tightest
from apex_opt.report.numbers import figure, percent

MOST_REJECTED = 5


def why(result: Result) -> Group:
    """Return why the first plan won: its margin on the objective, its room at the levels."""
    first = result.plans[0]
    name = result.objective.split(" ")[-1]
    words = [f"{result.objective}: {figure(first.objective)} {result.unit}."]
    if len(result.plans) > 1:
        words.append(_margin(first, result.plans[1], name))
    tight = tightest(first)
    if tight:
        words.append(f"Closest to its limit is {level_name(tight)}, {room(tight)}.")
    return section("Why it won", Text(" ".join(words)[:1].upper() + " ".join(words)[1:]))


def _margin(first: Plan, second: Plan, name: str) -> str:
    """Return how the best runner-up compares, in a sentence."""
    if second.objective == first.objective:
        slower = second.prediction.e2e_ms.mean / first.prediction.e2e_ms.mean - 1
        order = f"a mean E2E {percent(slower)} longer" if slower > 0 else "no shorter mean E2E"
        return f"The best other plan, {second.label}, has the same {name} and {order}."
    change = abs(second.objective - first.objective) / abs(first.objective or 1.0)
    more = "more" if second.objective > first.objective else "less"
    return f"The best other plan, {second.label}, has {percent(change)} {more} {name}."


def runners_up(result: Result) -> Group:
    """Return a table of all plans, best first."""
    grid = table("plan", result.unit, "devices", "USD/h", "TTFT p99", "TPOT p99", "J/request")
    for plan in result.plans:
        found = plan.prediction
        grid.add_row(
            Text(f"{plan.rank}. {plan.label}"),
            figure(plan.objective),
            f"{plan.devices:,}",
            f"{plan.cost_per_hour:,.2f}",
            figure(found.ttft_ms.p99),
            figure(found.tpot_ms.p99),
            figure(found.energy_j_per_request),
        )
    return section("The best plans of each kind", grid)


def rejected(result: Result) -> Group:
    """Return the plans that were simulated and miss a level, with the first that they miss."""
    rows = [(plan.label, plan.reason) for plan in result.rejected[:MOST_REJECTED]]
    more = len(result.rejected) - len(rows)
    tail = [Text(f"and {more:,} more")] if more > 0 else []
    return section("Simulated and turned down", pairs(rows), *tail)
