"""Entries, changes and repairs as the result tells them."""

from __future__ import annotations

from apex_opt.auditing import result
from apex_opt.auditing.dials import Options
from apex_opt.auditing.entries import Entry
from apex_opt.auditing.repair import Move, Repair
from apex_opt.plan.tell import label
from apex_opt.spec.spec import Spec


def told(spec: Spec, entry: Entry) -> result.Entry:
    """Return an entry with its line; of what is not written, that of the nearest table."""
    lines = spec.lines
    return result.Entry(
        key=entry.key,
        file=None if lines is None else lines.file,
        line=None if lines is None else lines.line(entry.loc),
        value=entry.shown,
        default=not entry.written,
    )


def told_change(spec: Spec, move: Move, barred: float | None) -> result.Change:
    """Return a change: `slo.tpot_ms` 12 ms -> 17.4 ms, or `allow fp8 weights`.

    Args:
        spec: as loaded.
        move: the change.
        barred: a value that is proved not to do; None of a choice.
    """
    entry, dial = told(spec, move.entry), move.entry.dial
    if isinstance(dial, Options):
        return result.Change(entry=entry, value=move.words, number=None, words=move.words)
    known = None if barred == dial.value else barred
    return result.Change(
        entry=entry,
        value=move.words,
        number=float(move.value),
        words=f"`{entry.key}` {entry.value} -> {move.words}",
        barred=None if known is None else dial.say(known),
        barred_number=known,
    )


def told_repair(spec: Spec, repair: Repair) -> result.Relaxation:
    """Return a repair."""
    return result.Relaxation(
        changes=tuple(
            told_change(spec, move, barred)
            for move, barred in zip(repair.moves, repair.barred, strict=True)
        ),
        smallest="proved" if repair.smallest else "not proved",
        size=repair.size,
        plan=label(repair.asked, repair.plan.counts),
    )
