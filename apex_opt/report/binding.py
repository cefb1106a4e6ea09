"""What binds: the limits of the spec with what the plan uses of each, and the tightest level."""

from __future__ import annotations

from rich.text import Text

from apex_opt.plan.result import Binding, Plan
from apex_opt.report.layout import Section, section, table
from apex_opt.report.levels import level_name, room, tightest
from apex_opt.report.numbers import count, percent


def binding(plan: Plan) -> Section:
    """Return the table of limits under a sentence on the tightest service level."""
    tight = tightest(plan)
    words = (
        f"Tightest service level: {level_name(tight)}, {room(tight)}."
        if tight
        else "The spec asks for no service level."
    )
    grid = table("limit", "allowed", "used", "share", "")
    for limit in plan.limits:
        grid.add_row(*_row(limit, _oversubscribed(limit, plan)))
    return section("What binds", Text(words), *([grid] if plan.limits else []))


def _oversubscribed(limit: Binding, plan: Plan) -> str:
    """Return by how much the devices of a plan are rated for more than the limit on its power."""
    rated = plan.prediction.power_rated_w
    if limit.limit != "limits.power_w" or rated is None or rated <= limit.value:
        return ""
    return f"rated {percent(rated / limit.value)} of it"


def _row(limit: Binding, more: str) -> tuple[Text, str, str, str, str]:
    share = limit.used / limit.value if limit.value else 1.0
    used, allowed = (count(x, limit.unit) for x in (limit.used, limit.value))
    return (
        Text(limit.limit),
        allowed,
        used,
        percent(share),
        more or ("all of it" if share >= 1 else ""),
    )
