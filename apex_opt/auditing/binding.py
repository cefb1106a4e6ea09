"""What binds a spec that can be met: what its best plan uses of each entry, and what each costs."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from apex_opt.auditing import result
from apex_opt.auditing.best import Sought, best
from apex_opt.auditing.dials import Options, Range
from apex_opt.auditing.entries import Entry, Family
from apex_opt.auditing.judge import Judge
from apex_opt.auditing.near import distance
from apex_opt.auditing.told import told
from apex_opt.auditing.words import digits
from apex_opt.plan.events import Event, Listen
from apex_opt.plan.result import Plan, Result
from apex_opt.plan.tell import label
from apex_opt.spec.spec import Spec

STEPS: dict[Family, float] = {"power": 1000.0, "budget": 1.0}
"""A small change of a limit: a kilowatt, a dollar an hour; of whole things one; of levels 10 %, and
what it buys is told by the millisecond: plans are few, so one millisecond alone seldom buys any.
"""

MOST_AGAIN = 24
"""Simulations for a changed spec, unless the spec or the call names a time."""

TOLD: frozenset[Family] = frozenset(
    {"slo", "stability", "power", "budget", "devices", "replicas", "starts", "spot", "spares",
     "stock", "format", "parallelism", "engine", "reserve", "kinds"}
)  # fmt: skip
LEAST_S, TIMES = 2.0, 5.0
"""A changed spec may take so many seconds, and so many times as long as the spec itself; without a
deadline as long as its simulations take.
"""

MOST_KINDS = 200
"""Replicas times formats that may be looked at for a format that the spec does not name."""

MOST_TURNED_DOWN = 5
"""Plans that miss the spec that are told."""

SAME = 1e-4
"""Relative difference under which two objectives count as the same."""


@dataclass(frozen=True)
class Best:
    """The best objective of a changed spec, and whether it is proved."""

    value: float
    proved: bool


@dataclass(frozen=True)
class _Known:
    """The solution of the spec as it is told, and as the search left it."""

    told: Result
    sought: Sought


def held(
    judge: Judge,
    spec: Spec,
    found: Result,
    sought: Sought,
    entries: Sequence[Entry],
    listen: Listen,
) -> tuple[result.Held, ...]:
    """Return the entries with what the best plan uses of them, those that bind first.

    Args:
        judge: solves changed specs, until its time is over.
        spec: a spec that can be met.
        found: its solution,
        sought: and as the search left it: what is as good is not looked for again.
        entries: its entries; of what is not written only formats are looked at, in small spaces.
        listen: told of progress.
    """
    chosen = [e for e in entries if e.family in TOLD and (e.written or _few(judge, spec, e))]
    rows = []
    for nth, entry in enumerate(chosen):
        listen(Event("asking what each entry costs", nth, len(chosen)))
        rows.append(_held(judge, spec, _Known(found, sought), entry))
    return tuple(sorted(rows, key=lambda row: not row.binds))


def _few(judge: Judge, spec: Spec, entry: Entry) -> bool:
    """Whether an entry is a format, of which all others make few replicas more to choose from."""
    if not isinstance(entry.dial, Options) or entry.family != "format":
        return False
    return len(judge.replicas(spec).legal) * len(entry.dial.others) <= MOST_KINDS


def _held(judge: Judge, spec: Spec, known: _Known, entry: Entry) -> result.Held:
    found = known.told
    now = found.plans[0].objective
    without = _best(judge, entry.loosened(spec), known)
    binds = without is not None and _better(found, without.value, now)
    used = _used(entry, found.plans[0])
    dial = entry.dial
    step = _step(judge, spec, known, entry, dial) if binds and isinstance(dial, Range) else None
    return result.Held(
        entry=told(spec, entry),
        used=None if used is None or not isinstance(dial, Range) else dial.say(used),
        slack=None if used is None or not isinstance(dial, Range) else _slack(dial, used),
        binds=binds,
        without=None if without is None else without.value,
        step=None if step is None else step[0],
        per_unit=None if step is None else step[1],
        proved=without is not None and without.proved,
    )


def _step(
    judge: Judge, spec: Spec, known: _Known, entry: Entry, dial: Range
) -> tuple[str, float] | None:
    """Return what a small change is worth, for people and by the unit of the entry."""
    found = known.told
    now, value = found.plans[0].objective, _stepped(entry, dial)
    more = _best(judge, dial.put(spec, dial.exact(value)), known)
    if more is None or value == dial.value:
        return None
    change = f"{dial.say(dial.value)} -> {dial.say(value)}"
    if not _better(found, more.value, now):
        return f"{change}: buys nothing", 0.0
    each = (more.value - now) / (value - dial.value)
    much, unit = _a_unit(dial)
    return (
        f"{change}: {digits(now)} -> {digits(more.value)} {found.unit}, "
        f"{digits(abs(each) * much)} {found.unit} for each {unit}"
    ), each


def _a_unit(dial: Range) -> tuple[float, str]:
    """Return the unit of an entry as one of it: `ms`, `node`; of a share a hundredth."""
    unit = dial.unit[:-1] if dial.whole else dial.unit
    return (1.0, unit) if unit else (0.01, "0.01")


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
    left = () if plan.without_spares is None else plan.without_spares.checks
    shown = [c.value for c in (*plan.checks, *left) if _name(c.metric, c.statistic) == entry.key]
    least = min if entry.key == "slo.attainment" else max  # the worse of the two runs
    return least(shown, default=None)


def _name(metric: str, statistic: str) -> str:
    if metric in {"attainment", "drain_s"}:
        return f"slo.{metric}"
    return f"slo.{metric}.{statistic}"


def _best(judge: Judge, spec: Spec, known: _Known) -> Best | None:
    """Return the best objective of a looser spec, as far as the time allows."""
    left = judge.deadline - time.monotonic()
    if math.isfinite(left):
        left = min(left, LEAST_S + TIMES * known.sought.seconds)
    if left <= 0:
        return None
    most = None if "time_limit_s" in spec.search.model_fields_set else MOST_AGAIN
    other = best(judge, spec, left, most, start=known.sought.first)
    return None if other is None else Best(other.first.objective, other.found.proved)


def alternatives(spec: Spec, found: Result, sought: Sought) -> Iterator[result.Alternative]:
    """Yield the plans that lost: the runners-up, then those that come nearest to what they miss."""
    first = found.plans[0]
    for plan in found.plans[1:4]:
        if plan.objective == first.objective:
            slower = plan.prediction.e2e_ms.mean
            reason = f"as good, but mean E2E {digits(slower)} ms"
        else:
            reason = f"{digits(plan.objective)} {found.unit} against {digits(first.objective)}"
        yield result.Alternative(plan=plan.label, reason=reason)
    nearest = sorted(sought.found.rejected, key=lambda plan: distance(spec, plan))
    told_once = dict.fromkeys(  # plans that differ in a setting alone have one label
        (label(sought.asked, turned.counts), turned.missed or "") for turned in nearest
    )
    for name, reason in list(told_once)[:MOST_TURNED_DOWN]:
        yield result.Alternative(plan=name, reason=reason)
