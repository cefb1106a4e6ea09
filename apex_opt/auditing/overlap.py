"""Conflicts that share entries with one that is known: a level with power, and with the budget.

Where loosening an entry of a conflict does not help, another conflict stands without it. So sets of
entries are loosened that hit every conflict known so far, smallest first: if the spec stays
infeasible, what is left of it is shrunk to a conflict that is new; if not, loosening them together
cures all. Only numbers that the spec writes are loosened: choices multiply the replicas.

Source: M. H. Liffiton et al., "Fast, flexible MUS enumeration", Constraints 21 (2016): the
algorithm MARCO, here ended after a few sets.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from apex_opt.auditing.conflict import Found, loosened, shrink
from apex_opt.auditing.entries import Entry
from apex_opt.auditing.judge import Judge
from apex_opt.spec.spec import Spec

MOST_SETS = 12
"""Sets of entries that are looked at."""

LIGHT = 0
"""Simulations beside guesses for one of them, where a space is large."""


@dataclass
class Overlap:
    """What is known beside a conflict.

    Attributes:
        conflicts: others, each irreducible, and the spec in which all that were known before are
            cured.
        cures: sets of entries, none of which helps alone, that cure all together.
    """

    conflicts: list[tuple[Found, Spec]] = field(default_factory=list)
    cures: list[tuple[Entry, ...]] = field(default_factory=list)


def overlap(
    judge: Judge,
    spec: Spec,
    entries: Sequence[Entry],
    one: Found,
    helpless: Sequence[Entry],
    most: int,
) -> Overlap:
    """Return conflicts that share entries with one that is known.

    Args:
        judge: answers.
        spec: an infeasible spec, with all other conflicts cured.
        entries: its entries.
        one: its conflict, of a spec that has legal replicas.
        helpless: entries of it that are proved to be of no help alone.
        most: conflicts to look for.
    """
    known, found = [one], Overlap()
    sets: deque[tuple[Entry, ...]] = deque((entry,) for entry in helpless if _number(entry))
    for _ in range(MOST_SETS if one.verdict.stage != "replica" else 0):
        if not sets or len(found.conflicts) >= most or judge.late:
            break
        chosen = sets.popleft()
        missed = next((c for c in known if not any(e in chosen for e in c.members)), None)
        if missed is not None:
            sets.extend((*chosen, entry) for entry in missed.members if _number(entry))
            continue
        loose = loosened(spec, chosen)
        verdict = judge.ask(loose, LIGHT)
        if verdict.feasible and not any(e in one.members and e not in helpless for e in chosen):
            found.cures.append(chosen)
        if verdict.status != "infeasible" or verdict.stage == "replica":
            continue
        other = shrink(judge, loose, [e for e in entries if e not in chosen], verdict)
        if other.irreducible and other.members:
            known.append(other)
            found.conflicts.append((other, loose))
            sets.append(chosen)
    return found


def _number(entry: Entry) -> bool:
    return entry.written and not entry.multiplies
