"""Changes for which a plan that was simulated already does: numbers, read off what it uses."""

from __future__ import annotations

from collections.abc import Sequence

from apex_opt.auditing.dials import Range
from apex_opt.auditing.entries import Entry
from apex_opt.auditing.judge import Judge, Verdict
from apex_opt.auditing.near import misses
from apex_opt.auditing.repair import Move, Repair, move, moved
from apex_opt.auditing.uses import uses
from apex_opt.plan.problem import Problem
from apex_opt.plan.tried import Tried
from apex_opt.spec.spec import Spec

MOST_TOGETHER = 2
"""Entries that are changed together."""


def known(judge: Judge, spec: Spec, entries: Sequence[Entry], verdict: Verdict) -> list[Repair]:
    """Return changes of one entry, or of two, with which a plan that was simulated meets the spec.

    Of the same entries the smallest change counts. None is proved to be the smallest.

    Args:
        judge: measures the plan against the changed spec.
        spec: a spec that is not met.
        entries: what may be changed.
        verdict: on the spec, with plans that miss it.
    """
    asked = verdict.asked
    if asked is None:
        return []
    found: dict[frozenset[str], tuple[tuple[Move, ...], Tried]] = {}
    for plan in verdict.missed:
        moves = _moves(spec, entries, asked, plan)
        keys = frozenset(one.entry.key for one in moves)
        if moves and (keys not in found or _size(moves) < _size(found[keys][0])):
            found[keys] = moves, plan
    made = [_repair(judge, spec, asked, *one) for one in found.values()]
    return sorted((one for one in made if one is not None), key=lambda repair: repair.size)


def _size(moves: Sequence[Move]) -> float:
    return sum(one.size for one in moves)


def _moves(spec: Spec, entries: Sequence[Entry], asked: Problem, plan: Tried) -> tuple[Move, ...]:
    """Return the changes of all that a plan misses; none where a change is beyond its range."""
    wrong = list(dict.fromkeys(key for key, _ in misses(spec, plan)))
    by_key = {e.key: e for e in entries}
    if len(wrong) > MOST_TOGETHER or not all(key in by_key for key in wrong):
        return ()
    moves = []
    for entry in (by_key[key] for key in wrong):
        used = uses(entry, spec, asked, plan)
        assert used is not None  # a level or a limit: what is missed is a number
        assert isinstance(entry.dial, Range)
        near = entry.dial.rounded(used)
        if (near - used) * entry.dial.looser < 0:  # beyond its range
            return ()
        moves.append(move(entry, near))
    return tuple(moves)


def _repair(
    judge: Judge, spec: Spec, asked: Problem, moves: tuple[Move, ...], plan: Tried
) -> Repair | None:
    changed = moved(spec, moves)
    again = judge.play(changed, judge.traffic(spec), asked, plan.counts)
    if again.missed is not None:
        return None
    return Repair(moves, changed, asked, again, smallest=False, barred=(None,) * len(moves))
