"""What binds a spec that can be met: what its best plan uses of each entry, and what each costs."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from apex_opt.auditing import result
from apex_opt.auditing.dials import Range
from apex_opt.auditing.entries import Entry, Family
from apex_opt.auditing.told import told
from apex_opt.auditing.words import digits
from apex_opt.errors import InfeasibleError, UndecidedError
from apex_opt.plan.events import Event, Listen
from apex_opt.plan.result import Plan, Result
from apex_opt.plan.solve import solve
from apex_opt.spec.spec import Spec

STEPS: dict[Family, float] = {"power": 1000.0, "budget": 1.0}
"""A small change of a limit: a kilowatt, a dollar an hour; of whole things one; of levels 10 %."""

TOLD: frozenset[Family] = frozenset(
    {"slo", "stability", "power", "budget", "devices", "replicas", "stock", "format",
     "parallelism", "engine", "reserve", "kinds"}
)  # fmt: skip
LEAST_S, TIMES = 2.0, 5.0
"""A changed spec may take so many seconds, and so many times as long as the spec itself."""

SAME = 1e-4
"""Relative difference under which two objectives count as the same."""


@dataclass(frozen=True)
class Best:
    """The best objective of a changed spec, and whether it is proved."""

    value: float
    proved: bool


def held(
    spec: Spec, found: Result, entries: Sequence[Entry], deadline: float, listen: Listen
) -> tuple[result.Held, ...]:
    """Return the entries with what the best plan uses of them, those that bind first.

    Args:
        spec: a spec that can be met.
        found: its solution.
        entries: its entries; of what is not written only formats are looked at.
        deadline: `time.monotonic()` after which nothing is solved any more.
        listen: told of progress.
    """
    chosen = [e for e in entries if e.family in TOLD and (e.written or e.family == "format")]
    rows = []
    for nth, entry in enumerate(chosen):
        listen(Event("asking what each entry costs", nth, len(chosen)))
        rows.append(_held(spec, found, entry, deadline))
    return tuple(sorted(rows, key=lambda row: not row.binds))


def _held(spec: Spec, found: Result, entry: Entry, deadline: float) -> result.Held:
    now = found.plans[0].objective
    without = _best(entry.loosened(spec), found, deadline)
    binds = without is not None and _better(found, without.value, now)
    used = _used(entry, found.plans[0])
    dial = entry.dial
    step = None
    if binds and isinstance(dial, Range):
        value = _stepped(entry, dial)
        more = _best(dial.put(spec, dial.exact(value)), found, deadline)
        if more is not None:
            worth = "buys nothing"
            if _better(found, more.value, now):
                worth = f"{digits(now)} -> {digits(more.value)} {found.unit}"
            step = f"{dial.say(dial.value)} -> {dial.say(value)}: {worth}"
    return result.Held(
        entry=told(spec, entry),
        used=None if used is None or not isinstance(dial, Range) else dial.say(used),
        slack=None if used is None or not isinstance(dial, Range) else _slack(dial, used),
        binds=binds,
        without=None if without is None else without.value,
        step=step,
        proved=without is not None and without.proved,
    )


def _better(found: Result, value: float, now: float) -> bool:
    gain = value - now if found.objective.startswith("maximize") else now - value
    return gain > SAME * max(abs(now), abs(value))


def _stepped(entry: Entry, dial: Range) -> float:
    """Return the value of an entry a small step looser, within its range."""
    step = 1.0 if dial.whole else STEPS.get(entry.family, 0.1 * abs(dial.value))
    value = dial.value + dial.looser * step
    return min(value, dial.end) if dial.looser > 0 else max(value, dial.end)


def _slack(dial: Range, used: float) -> float:
    """Return what is left of a limit, percent of it."""
    return 100 * dial.looser * (dial.value - used) / abs(dial.value) if dial.value else 0.0


def _used(entry: Entry, plan: Plan) -> float | None:
    """Return what the best plan uses of an entry; None where nothing is counted."""
    names = {entry.key, entry.key.replace(".nodes", ".devices")}
    if entry.family == "stock":
        return None
    for limit in plan.limits:
        if limit.limit in names:
            return limit.used
    for check in plan.checks:
        if _name(check.metric, check.statistic) == entry.key:
            return check.value
    return None


def _name(metric: str, statistic: str) -> str:
    if metric in {"attainment", "drain_s"}:
        return f"slo.{metric}"
    return f"slo.{metric}.{statistic}"


def _best(spec: Spec, found: Result, deadline: float) -> Best | None:
    """Return the best objective of a spec, as far as the time allows."""
    left = min(deadline - time.monotonic(), LEAST_S + TIMES * found.solve_s)
    if left <= 0:
        return None
    update = {"time_limit_s": left, "top_k": 1}
    limited = spec.model_copy(update={"search": spec.search.model_copy(update=update)})
    try:
        other = solve(limited.placed(spec.folder, spec.lines))
    except (InfeasibleError, UndecidedError):
        return None
    return Best(other.plans[0].objective, other.proof.status == "optimal")


def alternatives(found: Result) -> Iterator[result.Alternative]:
    """Yield the plans that lost: the runners-up first, then those that were turned down."""
    first = found.plans[0]
    for plan in found.plans[1:4]:
        if plan.objective == first.objective:
            slower = plan.prediction.e2e_ms.mean
            reason = f"as good, but mean E2E {digits(slower)} ms"
        else:
            reason = f"{digits(plan.objective)} {found.unit} against {digits(first.objective)}"
        yield result.Alternative(plan=plan.label, reason=reason)
    for turned in found.rejected[:5]:
        yield result.Alternative(plan=turned.label, reason=turned.reason)
