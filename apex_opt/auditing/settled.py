"""Repairs of several conflicts, made as small as they can be: nothing in them that is not needed.

What cures one conflict was found with the others cured in one way; the changes of a repair of all
may cure them in another one, which leaves more room. So changes that the rest does without are left
out, and numbers are made smaller as far as the rest then allows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from apex_opt.auditing.dials import Range
from apex_opt.auditing.judge import Judge
from apex_opt.auditing.relax import LIGHT, NoHelp, alone
from apex_opt.auditing.repair import Repair, moved
from apex_opt.spec.spec import Spec


def settled(judge: Judge, spec: Spec, repairs: Sequence[Repair]) -> list[Repair]:
    """Return repairs as small as they can be, smallest first; of the same entries the smallest.

    Args:
        judge: answers.
        spec: an infeasible spec.
        repairs: each makes it feasible.
    """
    smallest: dict[frozenset[str], Repair] = {}
    known = [_tightened(judge, spec, _needed(judge, spec, one)) for one in repairs]
    for repair in sorted(known, key=lambda one: one.size):
        smallest.setdefault(frozenset(m.entry.key for m in repair.moves), repair)
    return list(smallest.values())


def _needed(judge: Judge, spec: Spec, repair: Repair) -> Repair:
    """Return a repair without changes that the others do without, largest first."""
    for one in sorted(repair.moves, key=lambda move: -move.size):
        kept = [nth for nth, move in enumerate(repair.moves) if move is not one]
        moves = tuple(repair.moves[nth] for nth in kept)
        changed = moved(spec, moves)
        verdict = judge.ask(changed, LIGHT)
        if verdict.plan is not None and verdict.asked is not None:
            barred = tuple(repair.barred[nth] for nth in kept)
            repair = Repair(moves, changed, verdict.asked, verdict.plan, repair.smallest, barred)
    return repair


def _tightened(judge: Judge, spec: Spec, repair: Repair) -> Repair:
    """Return a repair with each number as small as the others allow, and whether all are proved."""
    proved = True
    for nth, one in enumerate(repair.moves):
        dial = one.entry.dial
        if not isinstance(dial, Range):
            continue
        base = moved(spec, [*repair.moves[:nth], *repair.moves[nth + 1 :]])
        less = dial.put(base, dial.exact(dial.tighter(float(one.value))))
        verdict = judge.ask(less, LIGHT, repair.plan)
        mine = verdict.status == "infeasible"
        if verdict.feasible:
            seed = replace(repair, moves=(one,), barred=(None,))
            fine = alone(judge, base, one.entry, seed)
            assert not isinstance(fine, NoHelp)  # a number that is known to do
            repair = replace(
                fine,
                moves=(*repair.moves[:nth], *fine.moves, *repair.moves[nth + 1 :]),
                barred=(*repair.barred[:nth], *fine.barred, *repair.barred[nth + 1 :]),
            )
            mine = fine.smallest
        proved = proved and mine
    return replace(repair, smallest=proved)
