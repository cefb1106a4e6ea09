"""A repair that keeps the demand: what else must change so that the traffic asked for is served.

A conflict with the demand is cured by less of it, however many limits it breaks, one after the
other. So where every repair found takes demand away, entries are sought that suffice together:
all are loosened, then each is put back if the others still do. What is left is needed.
"""

from __future__ import annotations

from collections.abc import Sequence

from apex_opt.auditing.conflict import loosened
from apex_opt.auditing.dials import Range
from apex_opt.auditing.entries import Entry, Family
from apex_opt.auditing.judge import Judge
from apex_opt.auditing.relax import in_turn
from apex_opt.auditing.repair import Repair
from apex_opt.auditing.settled import settled
from apex_opt.spec.spec import Spec

PUT_BACK: tuple[Family, ...] = ("slo", "stability", "reserve", "kinds", "replicas", "devices")
"""Whose entries are put back first: what users are promised stays, what is bought is changed."""

MOST_TOGETHER = 4
"""Entries that are changed together."""


def kept(
    judge: Judge, spec: Spec, entries: Sequence[Entry], found: Sequence[Repair]
) -> list[Repair]:
    """Return a repair that keeps the demand, if `found` has none; of numbers and degrees.

    Args:
        judge: answers.
        spec: an infeasible spec.
        entries: its entries.
        found: its repairs.
    """
    if not any(e.family == "demand" for e in entries):
        return []
    if any(all(m.entry.family != "demand" for m in repair.moves) for repair in found):
        return []
    needed = _needed(judge, spec, entries)
    if not 1 <= len(needed) <= MOST_TOGETHER:
        return []
    repair = in_turn(judge, spec, needed)
    return [] if repair is None else settled(judge, spec, [repair])


def _needed(judge: Judge, spec: Spec, entries: Sequence[Entry]) -> list[Entry]:
    """Return entries that suffice together, of which none may be left out; none if all do not.

    Degrees that the spec names cost nothing to change: they are put back last.
    """
    free = [
        e
        for e in entries
        if (isinstance(e.dial, Range) and e.family != "demand") or e.family == "parallelism"
    ]
    if not judge.ask(loosened(spec, free)).feasible:
        return []
    order: dict[Family, int] = {family: nth for nth, family in enumerate(PUT_BACK)}
    order["parallelism"] = len(PUT_BACK) + 1
    for entry in sorted(free, key=lambda e: order.get(e.family, len(PUT_BACK))):
        rest = [e for e in free if e is not entry]
        if judge.ask(loosened(spec, rest)).feasible:
            free = rest
    return free
