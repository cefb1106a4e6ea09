"""Service levels in words: what was asked, what is predicted, how much room is left."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.text import Text

from apex_opt.plan.result import Check, Plan
from apex_opt.report.layout import BAD, GOOD, QUIET, Section, section, table
from apex_opt.report.numbers import figure, percent, quota

NAMES = {
    "ttft_ms": "TTFT",
    "tpot_ms": "TPOT",
    "itl_ms": "ITL",
    "e2e_ms": "E2E",
    "attainment": "requests that meet all limits",
    "completed": "requests completed",
    "drain_s": "drained after the last arrival",
}
SHARES = {"attainment", "completed"}
UNSURE = "within the error of the prediction: at one end of its range it is the other way"
STABILITY = {"completed", "drain_s"}
"""Levels that every plan must reach, whatever the spec asks."""


def level_name(check: Check) -> str:
    """Return what a level is about: `TTFT p99`."""
    name = NAMES[check.metric]
    return f"{name} {check.statistic}" if check.metric in NAMES and _is_latency(check) else name


def slack(check: Check) -> float:
    """Return the share of a limit that is left; below zero where it is missed.

    Of a share of requests that must do well, the limit is on those that do not.
    """
    limit, value = check.limit, check.value
    if check.metric in SHARES:
        limit, value = 1 - limit, 1 - value
    if limit == 0:
        return 0.0 if value <= 0 else -1.0
    return (limit - value) / limit


def tightest(plan: Plan) -> Check | None:
    """Return the level that leaves the least room; None where the spec asks for none."""
    asked = [check for check in plan.checks if check.metric not in STABILITY]
    return min(asked, key=slack, default=None)


def room(check: Check) -> str:
    """Return how far a level is from its limit, in words."""
    left = slack(check)
    return f"{percent(left)} left" if left >= 0 else f"{percent(-left)} over"


def levels(plan: Plan) -> Iterator[Section]:
    """Yield the table of service levels, and that of the plan without its spare replicas."""
    if plan.checks:
        yield _levels("Service levels", plan.checks)
    if plan.without_spares is not None:
        left = " + ".join(
            f"{n} x {d.replica.label}"
            for n, d in zip(plan.without_spares.counts, plan.deployments, strict=True)
        )
        title = f"Once its spare replicas are lost: {left}"
        yield _levels(title, plan.without_spares.checks)


def _levels(title: str, checks: Sequence[Check]) -> Section:
    grid = table("level", "asked", "predicted", "room", "met")
    for check in checks:
        met = Text("yes", GOOD) if check.met else Text("NO", BAD)
        if check.sure is False:
            met.append(" *", QUIET)
        grid.add_row(level_name(check), _asked(check), _shown(check, check.value), room(check), met)
    unsure = any(check.sure is False for check in checks)
    return section(title, grid, *([Text(f"* {UNSURE}", QUIET)] if unsure else []))


def _is_latency(check: Check) -> bool:
    return check.metric.endswith("_ms")


def _asked(check: Check) -> str:
    return f"{'>=' if check.metric in SHARES else '<='} {_shown(check, check.limit)}"


def _shown(check: Check, value: float) -> str:
    if check.metric in SHARES:
        return quota(value)
    return f"{figure(value)} {'ms' if _is_latency(check) else 's'}"
