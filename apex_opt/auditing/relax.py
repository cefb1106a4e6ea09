"""The smallest changes that make an infeasible spec feasible: of one entry alone, or of two.

A number is sought between what the spec says and the loosest value that is known to do; where a
plan was found that uses less, the search goes on from what it uses. A simulated plan meets what is
found; the next tighter value is proved infeasible or, where only simulation could tell, not proved.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

from apex_opt.auditing.conflict import helps
from apex_opt.auditing.dials import CHOICE, Options, Range
from apex_opt.auditing.entries import Entry
from apex_opt.auditing.judge import Judge
from apex_opt.auditing.uses import uses
from apex_opt.plan.problem import Problem
from apex_opt.plan.search import Tried
from apex_opt.spec.spec import Spec

LIGHT = 0
"""Simulations beside guesses for one question of a bisection, where a space is large."""

MOST_PAIRS = 6
MOST_FIRST = 2
"""Repairs of a first conflict from which those of all are sought."""


@dataclass(frozen=True)
class Move:
    """A change of one entry: the new value, and how large the change is."""

    entry: Entry
    value: Any
    words: str
    size: float


@dataclass(frozen=True)
class Repair:
    """Changes that make a spec feasible, the changed spec, and the plan that shows it.

    Attributes:
        smallest: whether a smaller change of any of the entries is proved not to do.
    """

    moves: tuple[Move, ...]
    spec: Spec
    asked: Problem
    plan: Tried
    smallest: bool

    @property
    def size(self) -> float:
        """How large the changes are together."""
        return sum(move.size for move in self.moves)


def move(entry: Entry, value: Any, words: str = "") -> Move:
    """Return the change of an entry to a value."""
    if isinstance(entry.dial, Range):
        exact = entry.dial.exact(value)
        return Move(entry, exact, entry.dial.say(exact), entry.dial.size(exact))
    return Move(entry, value, words, CHOICE)


def alone(judge: Judge, spec: Spec, entry: Entry) -> Repair | None:
    """Return the smallest change of one entry that makes `spec` feasible; None if none is found."""
    if isinstance(entry.dial, Options):
        return _option(judge, spec, entry, entry.dial)
    verdict = helps(judge, spec, entry)
    if verdict.plan is None or verdict.asked is None:
        return None
    return _tighten(judge, spec, entry, entry.dial, verdict.asked, verdict.plan)


def _option(judge: Judge, spec: Spec, entry: Entry, dial: Options) -> Repair | None:
    for value, words in (*dial.others, (dial.widest, "allow any")):
        changed = dial.put(spec, value)
        verdict = judge.ask(changed)
        if verdict.plan is not None and verdict.asked is not None:
            moves = (move(entry, value, words),)
            return Repair(moves, changed, verdict.asked, verdict.plan, smallest=True)
    return None


def _tighten(
    judge: Judge, spec: Spec, entry: Entry, dial: Range, asked: Problem, plan: Tried
) -> Repair:
    """Return the smallest change of a number, from a plan at the end of its range."""
    tight, loose = dial.value, dial.end
    best = (dial.put(spec, dial.exact(loose)), asked, plan)
    while True:
        used = uses(entry, spec, best[1], best[2])
        if used is not None and (loose - used) * dial.looser > 0:
            loose = used
        if dial.closed(tight, loose) or judge.late:
            break
        middle = dial.between(tight, loose)
        changed = dial.put(spec, dial.exact(middle))
        verdict = judge.ask(changed, LIGHT)
        if verdict.plan is not None and verdict.asked is not None:
            loose, best = middle, (changed, verdict.asked, verdict.plan)
        else:
            tight = middle
    return _settled(judge, spec, entry, dial, loose, best)


def _settled(
    judge: Judge,
    spec: Spec,
    entry: Entry,
    dial: Range,
    value: float,
    best: tuple[Spec, Problem, Tried],
) -> Repair:
    """Return the repair at a round value near `value`, if a plan meets it, else at `value`.

    That a little less does not do is asked once more: fewer requests a second may be no easier.
    """
    near = dial.rounded(value)
    changed = dial.put(spec, dial.exact(near))
    verdict = judge.ask(changed)
    if verdict.plan is None or verdict.asked is None:
        return Repair((move(entry, value),), *best, smallest=False)
    less = judge.ask(dial.put(spec, dial.exact(dial.tighter(near))), LIGHT)
    proved = less.status == "infeasible"
    return Repair((move(entry, near),), changed, verdict.asked, verdict.plan, proved)


def together(judge: Judge, spec: Spec, first: Entry, second: Entry) -> Repair | None:
    """Return a smallest change of two entries, of which neither alone makes `spec` feasible.

    The second is loosened, the first moved as little as then suffices, then the second.
    """
    rough = alone(judge, second.loosened(spec), first)
    if rough is None:
        return None
    fine = alone(judge, first_moved := _moved(spec, rough.moves), second)
    if fine is None:
        # Nothing is left to move: the first alone does at this value.
        verdict = judge.ask(first_moved)
        if verdict.plan is None or verdict.asked is None:
            return None
        return replace(rough, spec=first_moved, asked=verdict.asked, plan=verdict.plan)
    return replace(
        fine, moves=(*rough.moves, *fine.moves), smallest=rough.smallest and fine.smallest
    )


def _moved(spec: Spec, moves: Sequence[Move]) -> Spec:
    for one in moves:
        spec = one.entry.dial.put(spec, one.value)
    return spec


def repairs(judge: Judge, spec: Spec, members: Sequence[Entry]) -> tuple[list[Repair], list[Entry]]:
    """Return the repairs of a spec by its entries, smallest first, and those of no help alone.

    Pairs are sought among the entries that cannot help alone.

    Args:
        judge: answers.
        spec: an infeasible spec.
        members: the entries of its conflict.
    """
    found: list[Repair] = []
    helpless: list[Entry] = []
    for entry in members:
        one = alone(judge, spec, entry)
        if one is None:
            helpless.append(entry)
        else:
            found.append(one)
    for first, second in list(combinations(helpless, 2))[:MOST_PAIRS]:
        if judge.late:
            break
        pair = together(judge, spec, first, second)
        if pair is not None:
            found.append(pair)
    return sorted(found, key=lambda r: r.size), helpless


def combined(
    judge: Judge,
    spec: Spec,
    fixes: Sequence[Sequence[Repair]],
    members: Sequence[Sequence[Entry]],
) -> list[Repair]:
    """Return repairs of all conflicts at once: one of the first, then what the next ones need.

    Args:
        judge: answers.
        spec: an infeasible spec with several conflicts.
        fixes: the repairs of each conflict.
        members: the entries of each.
    """
    found = []
    for first in fixes[0][:MOST_FIRST]:
        moves = list(first.moves)
        last: Repair | None = None
        for nth, own in enumerate(members[1:], 1):
            rest = [e for later in members[nth + 1 :] for e in later]
            base = _moved(spec, moves)
            for entry in rest:
                base = entry.loosened(base)
            mended, _ = repairs(judge, base, own)
            last = mended[0] if mended else None
            if last is None:
                break
            moves += last.moves
        if last is not None:
            found.append(replace(last, moves=tuple(moves), smallest=False))
    return sorted(found, key=lambda r: r.size)
