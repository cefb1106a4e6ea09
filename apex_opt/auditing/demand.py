"""How much more demand a spec that can be met would carry: the most found, the least excluded."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from apex_opt.auditing import result
from apex_opt.auditing.dials import Range
from apex_opt.auditing.entries import Entry
from apex_opt.auditing.judge import Judge
from apex_opt.auditing.relax import LIGHT
from apex_opt.auditing.told import told
from apex_opt.plan.tell import label
from apex_opt.spec.spec import Spec

MOST = 16.0
"""Times the demand of the spec that are looked at."""

FINE = 1.05
"""Ratio of two demands that are told apart."""


def carried(judge: Judge, spec: Spec, entries: Sequence[Entry], plan: str) -> result.Carried | None:
    """Return how much demand the spec can still carry; None where no entry says how much there is.

    Args:
        judge: answers.
        spec: a spec that can be met.
        entries: its entries.
        plan: label of a plan that meets it.
    """
    entry = next((e for e in entries if e.family == "demand"), None)
    if entry is None or not isinstance(entry.dial, Range):
        return None
    dial = entry.dial

    def at(times: float) -> float:
        value = dial.value * times**-dial.looser
        return float(round(value)) if dial.whole else float(f"{value:.4g}")

    def put(times: float) -> Spec:
        return dial.put(spec, dial.exact(at(times)))

    barred = _excluded(judge, put)
    low, high = 1.0, barred or MOST
    while high / low > FINE and not (dial.whole and abs(at(high) - at(low)) <= 1):
        if judge.late:
            break
        middle = (low * high) ** 0.5
        verdict = judge.ask(put(middle), LIGHT)
        if verdict.plan is None or verdict.asked is None:
            high = middle
        else:
            low, plan = middle, label(verdict.asked, verdict.plan.counts)
    return result.Carried(
        entry=told(spec, entry),
        value=dial.say(at(low)),
        number=at(low),
        barred=None if barred is None else dial.say(at(barred)),
        plan=plan,
    )


def _excluded(judge: Judge, put: Callable[[float], Spec]) -> float | None:
    """Return how many times the demand bounds exclude, the least that is found; None: not 16."""
    if not judge.excludes(put(MOST)):
        return None
    low, high = 1.0, MOST
    while high / low > FINE and not judge.late:
        middle = (low * high) ** 0.5
        if judge.excludes(put(middle)):
            high = middle
        else:
            low = middle
    return high
