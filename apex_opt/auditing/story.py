"""The story of an audit: can the spec be met, if not why and what would help, if so what binds."""

from __future__ import annotations

import time

from apex_opt.auditing.best import best
from apex_opt.auditing.beyond import beyond
from apex_opt.auditing.binding import alternatives, held
from apex_opt.auditing.causes import cause
from apex_opt.auditing.conflict import MOST_CONFLICTS, Found, conflicts, loosened
from apex_opt.auditing.demand import carried
from apex_opt.auditing.entries import Entry, entries
from apex_opt.auditing.judge import NO_LIMIT, Judge, Verdict
from apex_opt.auditing.kept import kept
from apex_opt.auditing.known import known as met_by_known
from apex_opt.auditing.near import closest
from apex_opt.auditing.overlap import overlap
from apex_opt.auditing.relax import Found as Mended
from apex_opt.auditing.relax import combined, in_turn, repairs, with_gap
from apex_opt.auditing.repair import Repair
from apex_opt.auditing.result import Audit, Code, Conflict, Near
from apex_opt.auditing.settled import settled
from apex_opt.auditing.told import told, told_repair
from apex_opt.plan.events import Listen
from apex_opt.plan.levels import NS_PER_S, drain_limit_s
from apex_opt.plan.needs import require_figures
from apex_opt.plan.offered import earliest_ns
from apex_opt.plan.solve import silent
from apex_opt.plan.tell import label
from apex_opt.spec.spec import Spec
from apex_opt.version import VERSION

MOST_FIRST = 500
"""Simulations for the question whether the spec itself can be met, unless spec or call name a time.
"""

MOST_PLANS = 100
"""Simulations for the best plan of a spec that can be met, unless spec or call name a time."""

MOST_KNOWN = 4
"""Changes that are told of a spec that was neither met nor excluded."""


def audit(spec: Spec, listen: Listen = silent) -> Audit:
    """Return why a spec cannot be met and what would help, or what binds it.

    Raises:
        CallError: the spec lacks a figure that the search needs.
    """
    start = time.monotonic()
    require_figures(spec)
    judge = Judge(start + spec.search.time_limit_s, listen)
    found = answer(spec, judge, listen)
    return found.model_copy(update={"seconds": time.monotonic() - start})


def answer(spec: Spec, judge: Judge, listen: Listen = silent) -> Audit:
    """Return the audit of a spec, every question of it put to `judge`."""
    verdict = judge.ask(spec, NO_LIMIT if _timed(spec) else MOST_FIRST)
    known = known_entries(spec, judge, verdict)
    if verdict.feasible:
        found = _feasible(spec, known, judge, listen, verdict)
    elif verdict.status == "infeasible":
        found = _infeasible(spec, known, judge, verdict)
    else:
        found = _undecided(spec, known, judge, verdict)
    return found.model_copy(update={"questions": judge.questions, "simulated": judge.simulated})


def _timed(spec: Spec) -> bool:
    """Whether spec or call name a time: that is the limit then, not a number of simulations."""
    return "time_limit_s" in spec.search.model_fields_set


def known_entries(spec: Spec, judge: Judge, verdict: Verdict) -> tuple[Entry, ...]:
    """Return the entries that may be to blame; the engine's defaults where no replica is legal."""
    load = judge.traffic(spec).load
    arrivals = earliest_ns(load)
    span_s = 0.0 if load.concurrency else float(arrivals.max() - arrivals.min()) / NS_PER_S
    drain_s = drain_limit_s(spec.slo, span_s, int(load.output_tokens.max()))
    return entries(spec, drain_s, unwritten=verdict.stage == "replica")


def _feasible(
    spec: Spec, known: tuple[Entry, ...], judge: Judge, listen: Listen, verdict: Verdict
) -> Audit:
    """Return what binds. The verdict had a plan, so the search has one too, given the time."""
    seconds = max((judge.deadline - time.monotonic()) / 2, 0.01)
    sought = best(judge, spec, seconds, None if _timed(spec) else MOST_PLANS, listen)
    if sought is None:
        assert verdict.asked is not None
        assert verdict.plan is not None
        plan = label(verdict.asked, verdict.plan.counts)
        return _answer(spec, "feasible", f"the spec can be met, by {plan}; no best plan is known")
    found = sought.told(judge, spec)
    first = found.plans[0]
    return _answer(spec, "feasible", f"the spec can be met; {found.proof.text}").model_copy(
        update={
            "best": first.label,
            "objective": first.objective,
            "unit": found.unit,
            "held": held(judge, spec, found, sought, known, listen),
            "carried": carried(judge, spec, known, first.label),
            "alternatives": tuple(alternatives(spec, found, sought)),
        }
    )


def _answer(spec: Spec, status: str, text: str) -> Audit:
    return Audit.model_validate(
        {
            "apexopt_version": VERSION,
            "model": spec.model.name,
            "status": status,
            "text": text,
        }
    )


def _infeasible(spec: Spec, known: tuple[Entry, ...], judge: Judge, verdict: Verdict) -> Audit:
    found = conflicts(judge, spec, known, verdict)
    fixes: list[list[Repair]] = []
    shown: list[Conflict] = []
    for one in found:
        cured = loosened(spec, [e for o in found if o is not one for e in o.cure])
        code, text = cause(judge, one, cured)
        own = repairs(judge, cured, one.members, verdict if len(found) == 1 else None)
        own.repairs.extend(beyond(judge, cured, code))
        if len(found) == 1:
            own.repairs.extend(kept(judge, spec, known, own.repairs))
        beside = overlap(judge, cured, known, one, own.helpless, MOST_CONFLICTS - len(found))
        together = [in_turn(judge, cured, several) for several in beside.cures]
        own.repairs.extend(settled(judge, cured, [one for one in together if one is not None]))
        own.repairs.sort(key=lambda repair: repair.size)
        fixes.append(own.repairs)
        shown.append(_conflict(spec, one, (code, text), own))
        for other, base in beside.conflicts:
            mended = repairs(judge, base, other.members)
            shown.append(_conflict(spec, other, cause(judge, other, base), mended))
    whole = fixes[0]
    if len(found) > 1:
        whole = settled(judge, spec, combined(judge, spec, fixes, [o.members for o in found]))
        whole = sorted([*whole, *kept(judge, spec, known, whole)], key=lambda r: r.size)
    many = f"{len(shown)} conflicts" if len(shown) > 1 else "a conflict"
    return _answer(spec, "infeasible", f"no plan meets the spec: {many}").model_copy(
        update={
            "conflicts": tuple(shown),
            "relaxations": tuple(told_repair(spec, one) for one in whole),
            "near": _near(spec, verdict, whole),
        }
    )


def _conflict(spec: Spec, one: Found, why: tuple[Code, str], mended: Mended) -> Conflict:
    return Conflict(
        code=why[0],
        text=why[1],
        entries=tuple(told(spec, entry) for entry in one.members),
        irreducible=one.irreducible,
        relaxations=tuple(told_repair(spec, repair) for repair in mended.repairs),
        helpless=tuple(entry.key for entry in mended.helpless),
        unknown=tuple(entry.key for entry in mended.unknown),
    )


def _near(spec: Spec, verdict: Verdict, whole: list[Repair]) -> Near | None:
    """Return the closest plan: of those that were simulated, else that of the smallest repair."""
    if verdict.missed and verdict.asked is not None:
        plan, missed = closest(spec, verdict.missed)
        return Near(
            plan=label(verdict.asked, plan.counts), misses=tuple(words for _, words in missed)
        )
    if not whole:
        return None
    first = told_repair(spec, whole[0])
    needs = tuple(f"needs: {change.words}" for change in first.changes)
    return Near(plan=first.plan, misses=needs)


def _undecided(spec: Spec, known: tuple[Entry, ...], judge: Judge, verdict: Verdict) -> Audit:
    """Return how near the plans come that were simulated: neither a plan nor a proof was found.

    What would do is read off them; from there to what bounds exclude is the gap.
    """
    tries = len(verdict.missed)
    text = (
        f"not proved: no plan was found among {tries:,} simulated, and none is excluded; "
        "raise `search.time_limit_s`, or lower `workload.requests`"
    )
    near = met_by_known(judge, spec, known, verdict)[:MOST_KNOWN]
    return _answer(spec, "undecided", text).model_copy(
        update={
            "near": _near(spec, verdict, []),
            "relaxations": tuple(told_repair(spec, with_gap(judge, spec, one)) for one in near),
        }
    )
