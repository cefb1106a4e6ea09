"""An irreducible conflict: entries that cannot hold together, though all but any one of them can.

Deletion filter: start from all entries; loosen one after the other, each to the end of its range,
and keep it loosened where the spec stays infeasible all the same. What could not be loosened is the
conflict. As more is loosened later, each of its entries alone still makes the rest feasible.

Where no replica is legal that is all there is to it. Else choices (formats, degrees, settings) are
cleared one by one, not together: each multiplies the replicas to choose from. Only if nothing is
to blame then, because several choices must change, are they cleared together.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from apex_opt.auditing.dials import Options
from apex_opt.auditing.entries import Entry, Family
from apex_opt.auditing.judge import Judge, Verdict
from apex_opt.auditing.words import both
from apex_opt.spec.spec import Spec

MOST_CONFLICTS = 8
STRUCTURAL: frozenset[Family] = frozenset(
    {"stock", "node", "reserve", "format", "parallelism", "engine"}
)
"""What decides which replicas are legal; all else cannot be to blame where none is."""

ACROSS = "parallelism.cross_pool"
"""Cleared first, and never loosened with others: replicas over much stock take long to lay out."""


@dataclass(frozen=True)
class Found:
    """A conflict: its entries, the spec in which only they hold, and why that has no plan.

    Attributes:
        members: the entries; none where nothing within its range helps.
        core: the spec with every other entry loosened.
        verdict: of `core`, an infeasible one.
        cure: entries of it that, loosened, end this conflict; as few as are easily found.
        irreducible: whether each entry is proved to be needed; else neither time nor simulations
            sufficed.
    """

    members: tuple[Entry, ...]
    core: Spec
    verdict: Verdict
    cure: tuple[Entry, ...]
    irreducible: bool


def loosened(spec: Spec, chosen: Iterable[Entry]) -> Spec:
    """Return the spec with entries at the ends of their ranges."""
    for entry in chosen:
        spec = entry.loosened(spec)
    return spec


def helps(judge: Judge, spec: Spec, entry: Entry) -> Verdict:
    """Return the verdict on the spec with one entry loosened; other values of it one by one.

    A number that multiplies the replicas is doubled until a plan does.
    """
    dial = entry.dial
    if isinstance(dial, Options):
        return option(judge, spec, dial)[0]
    value = 2 * dial.value
    while entry.multiplies and value < dial.end:
        verdict = judge.ask(dial.put(spec, dial.exact(value)))
        if verdict.feasible:
            return verdict
        value *= 2
    return judge.ask(entry.loosened(spec))


def option(judge: Judge, spec: Spec, dial: Options) -> tuple[Verdict, Any, str]:
    """Return the verdict on the first of a choice's other values that helps, the value, its words.

    Where none does it is that on all of them together. If a plan has one kind of replica, several
    values are no better than the best of them alone: all are excluded where each of them is.
    """
    none: Verdict | None = None
    for value, words in dial.others:
        verdict = judge.ask(dial.put(spec, value))
        if verdict.feasible:
            return verdict, value, words
        if none is None or none.status == "infeasible":
            none = verdict
    data = None if none is None or none.asked is None else none.asked.data
    if none is None or (data is not None and (data.max_kinds > 1 or data.caches)):
        none = judge.ask(dial.put(spec, dial.widest))
    return none, dial.widest, both([words for _, words in dial.others])


def shrink(judge: Judge, spec: Spec, entries: Sequence[Entry], verdict: Verdict) -> Found:
    """Return an irreducible conflict of an infeasible spec.

    Args:
        judge: answers.
        spec: an infeasible spec.
        entries: its entries, those first that are to be cleared of blame first.
        verdict: on the spec.
    """
    found = _filtered(judge, spec, entries, verdict, together=verdict.stage == "replica")
    if not found.members and verdict.stage != "replica" and not judge.late:
        return _filtered(judge, spec, entries, verdict, together=True)
    return found


def _filtered(
    judge: Judge, spec: Spec, entries: Sequence[Entry], verdict: Verdict, *, together: bool
) -> Found:
    """Return what a deletion filter leaves; choices that are cleared stay loosened `together`."""
    members, core = list(entries), spec
    bare = verdict.stage == "replica"
    if bare:
        core = loosened(core, [e for e in members if e.family not in STRUCTURAL])
        members = [e for e in members if e.family in STRUCTURAL]
    irreducible = True
    for entry in sorted(members, key=lambda e: e.key != ACROSS):
        without = helps(judge, core, entry)
        if without.status == "infeasible":
            members.remove(entry)
            if (together and entry.key != ACROSS) or not entry.multiplies:
                core, verdict = entry.loosened(core), without
        elif not without.feasible:
            irreducible = False
    return Found(tuple(members), core, verdict, _cure(judge, spec, members, bare=bare), irreducible)


def _cure(judge: Judge, spec: Spec, members: Sequence[Entry], *, bare: bool) -> tuple[Entry, ...]:
    """Return members that end the conflict when loosened: one that does alone, or all."""
    for entry in members if bare else ():
        if judge.ask(entry.loosened(spec)).feasible:
            return (entry,)
    for entry in members if bare else ():
        if judge.replicas(entry.loosened(spec)).legal:
            return (entry,)
    return tuple(members)


def _independent(judge: Judge, one: Found, earlier: Sequence[Found]) -> bool:
    """Whether a conflict stands however much of the earlier ones is loosened."""
    rest = [e for other in earlier for e in other.members if e not in other.cure]
    return not rest or judge.ask(loosened(one.core, rest)).status == "infeasible"


def conflicts(judge: Judge, spec: Spec, entries: Sequence[Entry], verdict: Verdict) -> list[Found]:
    """Return conflicts that share no entry, at most `MOST_CONFLICTS`: each cured, then the next.

    Args:
        judge: answers.
        spec: an infeasible spec.
        entries: its entries.
        verdict: on the spec.
    """
    found: list[Found] = []
    left = list(entries)
    while verdict.status == "infeasible" and len(found) < MOST_CONFLICTS:
        if verdict.stage != "replica":
            left = [e for e in left if e.written or e.family not in {"engine", "reserve"}]
        one = shrink(judge, spec, left, verdict)
        if not _independent(judge, one, found):
            # It follows from how the earlier ones were cured: now nothing of them holds.
            rest = [e for other in found for e in other.members if e not in other.cure]
            found = [replace(other, cure=other.members) for other in found]
            spec = loosened(spec, rest)
            verdict = judge.ask(spec)
            continue
        found.append(one)
        if not one.members:
            break
        spec = loosened(spec, one.cure)
        left = [e for e in left if e not in one.members]
        verdict = judge.ask(spec)
    return found
