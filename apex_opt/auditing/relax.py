"""The smallest changes that make an infeasible spec feasible: of one entry alone, or of two.

A number is sought between what the spec says and the loosest value that is known to do; where a
plan was found that uses less, the search goes on from what it uses. A simulated plan meets what is
found; the next tighter value is proved infeasible or, where only simulation could tell, not proved.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum, auto
from itertools import combinations

from apex_opt.auditing.conflict import helps, loosened, option
from apex_opt.auditing.dials import Options, Range
from apex_opt.auditing.entries import Entry
from apex_opt.auditing.judge import Judge, Verdict
from apex_opt.auditing.known import known
from apex_opt.auditing.near import distance
from apex_opt.auditing.repair import Repair, move, moved
from apex_opt.auditing.uses import uses
from apex_opt.plan.tried import Tried
from apex_opt.spec.spec import Spec

LIGHT = 0
"""Simulations beside guesses for one question of a bisection, where a space is large."""

CLOSEST = 16
"""Plans that missed a value by least which are looked at again at looser ones, and no others, where
each value asks for simulations of its own.
"""

MOST_SMALLER = 2
"""Times that a change is made a little smaller, where that does after all."""

GAP = 16.0
"""Times tighter than the spec that are asked of bounds, where nothing is proved of the spec."""

MOST_PAIRS = 6
MOST_FIRST = 2
"""Repairs of a first conflict from which those of all are sought."""


class NoHelp(Enum):
    """Why an entry has no repair: every change of it is excluded, or none was found to do."""

    EXCLUDED = auto()
    NOT_FOUND = auto()


@dataclass(frozen=True)
class Found:
    """What is known of the entries of a conflict.

    Attributes:
        repairs: smallest first.
        helpless: entries that are proved to be of no help alone.
        unknown: entries of which no change was found to help alone, though some is not excluded.
    """

    repairs: list[Repair]
    helpless: list[Entry]
    unknown: list[Entry]


def alone(judge: Judge, spec: Spec, entry: Entry, seed: Repair | None = None) -> Repair | NoHelp:
    """Return the smallest change of one entry that makes `spec` feasible, or why there is none.

    Args:
        judge: answers.
        spec: an infeasible spec.
        entry: what is changed.
        seed: a change of it that does, where one is known.
    """
    if isinstance(entry.dial, Options):
        return _option(judge, spec, entry, entry.dial)
    if seed is None:
        verdict = helps(judge, spec, entry)
        if verdict.plan is None or verdict.asked is None:
            return _why(verdict)
        last = (move(entry, entry.dial.end),)
        seed = Repair(last, entry.loosened(spec), verdict.asked, verdict.plan, False, (None,))
    return _tighten(judge, spec, entry, entry.dial, seed)


def _why(verdict: Verdict) -> NoHelp:
    return NoHelp.EXCLUDED if verdict.status == "infeasible" else NoHelp.NOT_FOUND


def _option(judge: Judge, spec: Spec, entry: Entry, dial: Options) -> Repair | NoHelp:
    verdict, value, words = option(judge, spec, dial)
    if verdict.plan is None or verdict.asked is None:
        return _why(verdict)
    moves = (move(entry, value, words),)
    return Repair(moves, dial.put(spec, value), verdict.asked, verdict.plan, True, (None,))


def _tighten(judge: Judge, spec: Spec, entry: Entry, dial: Range, best: Repair) -> Repair:
    """Return the smallest change of a number, from one that does."""
    loose = float(best.moves[0].value)
    little: float | None = None
    tight = dial.value
    closest: list[Tried] = []
    while True:
        used = uses(entry, spec, best.asked, best.plan)
        if used is not None and (loose - used) * dial.looser > 0:
            loose = used
        if little is None:
            little = tight = barred_up_to(judge, spec, dial, loose)
        passed = (loose - tight) * dial.looser <= 0  # a plan was found where none was seen before
        if passed or dial.closed(tight, loose) or judge.late:
            break
        middle = dial.between(tight, loose)
        changed = dial.put(spec, dial.exact(middle))
        verdict = judge.again(changed, [best.plan, *closest])
        if verdict is None and not closest:
            verdict = judge.ask(changed, LIGHT)
        if verdict is not None and verdict.plan is not None and verdict.asked is not None:
            loose = middle
            best = replace(best, spec=changed, asked=verdict.asked, plan=verdict.plan)
            continue
        tight = middle
        if verdict is not None and entry.replayed:
            closest = sorted(verdict.missed, key=lambda one: distance(changed, one))[:CLOSEST]
        elif verdict is not None and verdict.status == "infeasible":
            little = middle
    return _settled(judge, spec, dial, replace(best, moves=(move(entry, loose),)), little)


def barred_up_to(judge: Judge, spec: Spec, dial: Range, loose: float) -> float:
    """Return a value up to which bounds exclude every plan, by bisection below `loose`.

    Whoever loosens a limit or a level takes no plan away, and less traffic is less work; so what is
    excluded at a value is excluded at every tighter one.
    """
    tight, middle = dial.value, dial.looser_by_little(dial.value)  # often bounds exclude nothing
    while not dial.closed(tight, loose) and not judge.late:
        if judge.excludes(dial.put(spec, dial.exact(middle))):
            tight = middle
        else:
            loose = middle
        middle = dial.between(tight, loose)
    return tight


def with_gap(judge: Judge, spec: Spec, repair: Repair) -> Repair:
    """Return a repair with the loosest value that bounds exclude, of a spec that they do not.

    That is tighter than what the spec says: between it and the repair nothing is known. It is
    looked for down to a sixteenth, of one number.
    """
    dial = repair.moves[0].entry.dial
    if len(repair.moves) > 1 or not isinstance(dial, Range):
        return repair
    loose, tight = dial.value, dial.value * GAP**-dial.looser
    if not dial.unit and dial.looser < 0:  # a share
        tight = min(tight, 1.0)
    if not judge.excludes(dial.put(spec, dial.exact(tight))):
        return repair
    while not dial.closed(tight, loose) and not judge.late:
        middle = dial.between(tight, loose)
        if judge.excludes(dial.put(spec, dial.exact(middle))):
            tight = middle
        else:
            loose = middle
    return replace(repair, barred=(tight,))


def _settled(judge: Judge, spec: Spec, dial: Range, best: Repair, little: float) -> Repair:
    """Return the repair at a round value near what was found, if a plan meets it, else just there.

    That less does not do is asked once more, unless `little`, which is proved not to do, is close
    enough: fewer requests a second may be no easier, nor may more watts. If less does after all, it
    is taken, a few times.
    """
    entry = best.moves[0].entry
    found = _rounded(judge, spec, dial, best, float(best.moves[0].value))
    if found is None:
        return replace(best, barred=(little,))
    proved = False
    for _ in range(MOST_SMALLER):
        tighter = dial.tighter(float(found.moves[0].value))
        less = dial.put(spec, dial.exact(tighter))
        proved = (little - tighter) * dial.looser >= 0 and not entry.replayed
        proved = proved or judge.excludes(less)
        if proved or judge.late:
            break
        verdict = judge.ask(less, LIGHT, found.plan)
        proved = verdict.status == "infeasible"
        if verdict.plan is None:
            break
        smaller = _rounded(judge, spec, dial, replace(best, plan=verdict.plan), tighter)
        if smaller is None:
            break
        found = smaller
    return replace(found, smallest=proved, barred=(little,))


def _rounded(judge: Judge, spec: Spec, dial: Range, best: Repair, value: float) -> Repair | None:
    """Return the repair at a round value that is no tighter than `value`; None: no plan meets it.

    Where the plan uses less than that, it is what the plan uses.
    """
    entry, near = best.moves[0].entry, dial.rounded(value)
    changed = dial.put(spec, dial.exact(near))
    verdict = judge.ask(changed, like=best.plan)
    if verdict.plan is None or verdict.asked is None:
        return None
    used = uses(entry, spec, verdict.asked, verdict.plan)
    if used is not None and (near - dial.rounded(used)) * dial.looser > 0:
        near = dial.rounded(used)
        changed = dial.put(spec, dial.exact(near))
    return Repair((move(entry, near),), changed, verdict.asked, verdict.plan, False, (None,))


def together(judge: Judge, spec: Spec, first: Entry, second: Entry) -> Repair | None:
    """Return a smallest change of two entries, of which neither alone makes `spec` feasible.

    The second is loosened, the first moved as little as then suffices, then the second.
    """
    rough = alone(judge, second.loosened(spec), first)
    if isinstance(rough, NoHelp):
        return None
    fine = alone(judge, moved(spec, rough.moves), second)
    return None if isinstance(fine, NoHelp) else joined((rough, fine))


def repairs(
    judge: Judge, spec: Spec, members: Sequence[Entry], verdict: Verdict | None = None
) -> Found:
    """Return the repairs of a spec by its entries, smallest first, and what is of no help alone.

    Pairs are sought among the entries that cannot help alone.

    Args:
        judge: answers.
        spec: an infeasible spec.
        members: the entries of its conflict.
        verdict: on the spec, where it is known: plans that miss one entry alone are a start.
    """
    found: list[Repair] = []
    without: dict[NoHelp, list[Entry]] = {why: [] for why in NoHelp}
    near = [] if verdict is None else known(judge, spec, members, verdict)
    seeds = {one.moves[0].entry.key: one for one in near if len(one.moves) == 1}
    for entry in members:
        one = alone(judge, spec, entry, seeds.get(entry.key))
        if isinstance(one, NoHelp):
            without[one].append(entry)
        else:
            found.append(one)
    helpless = [entry for entry in members if any(entry in mine for mine in without.values())]
    for first, second in list(combinations(helpless, 2))[:MOST_PAIRS]:
        if judge.late:
            break
        pair = together(judge, spec, first, second)
        if pair is not None:
            found.append(pair)
    found.sort(key=lambda r: r.size)
    return Found(found, without[NoHelp.EXCLUDED], without[NoHelp.NOT_FOUND])


def combined(
    judge: Judge,
    spec: Spec,
    fixes: Sequence[Sequence[Repair]],
    members: Sequence[Sequence[Entry]],
) -> list[Repair]:
    """Return repairs of all conflicts at once: one of the first, then what the next ones need.

    The conflicts are cured in their order, and in the opposite one; of the same entries the smaller
    change counts.

    Args:
        judge: answers.
        spec: an infeasible spec with several conflicts.
        fixes: the repairs of each conflict.
        members: the entries of each.
    """
    found = []
    for own, entries in ((fixes, members), (fixes[::-1], members[::-1])):
        for first in own[0][:MOST_FIRST]:
            steps = [first]
            for nth, mine in enumerate(entries[1:], 1):
                base = moved(spec, [m for step in steps for m in step.moves])
                for entry in (e for later in entries[nth + 1 :] for e in later):
                    base = entry.loosened(base)
                mended = repairs(judge, base, mine).repairs
                if not mended:
                    break
                steps.append(mended[0])
            if len(steps) == len(entries):
                found.append(joined(steps))
    smallest: dict[frozenset[str], Repair] = {}
    for repair in sorted(found, key=lambda r: r.size):
        smallest.setdefault(frozenset(m.entry.key for m in repair.moves), repair)
    return list(smallest.values())


def in_turn(judge: Judge, spec: Spec, needed: Sequence[Entry]) -> Repair | None:
    """Return a repair by entries that suffice together: each moved as little as then suffices."""
    steps: list[Repair] = []
    for nth, entry in enumerate(needed):
        base = moved(spec, [m for step in steps for m in step.moves])
        one = alone(judge, loosened(base, needed[nth + 1 :]), entry)
        if isinstance(one, NoHelp):
            return None
        steps.append(one)
    return joined(steps)


def joined(steps: Sequence[Repair]) -> Repair:
    """Return repairs as one: each was found with the later ones loosened, the earlier ones done."""
    return replace(
        steps[-1],
        moves=tuple(move for step in steps for move in step.moves),
        smallest=all(step.smallest for step in steps),
        barred=tuple(value for step in steps for value in step.barred),
    )
