"""Entries, changes and repairs as the result tells them."""

from __future__ import annotations

from apex_opt.auditing import result
from apex_opt.auditing.dials import Options
from apex_opt.auditing.entries import Entry
from apex_opt.auditing.relax import Move, Repair
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


def told_change(spec: Spec, move: Move) -> result.Change:
    """Return a change: `slo.tpot_ms` 12 ms -> 17.4 ms, or `allow fp8 weights`."""
    entry = told(spec, move.entry)
    choice = isinstance(move.entry.dial, Options)
    words = move.words if choice else f"`{entry.key}` {entry.value} -> {move.words}"
    number = None if choice else float(move.value)
    return result.Change(entry=entry, value=move.words, number=number, words=words)


def told_repair(spec: Spec, repair: Repair) -> result.Relaxation:
    """Return a repair."""
    return result.Relaxation(
        changes=tuple(told_change(spec, move) for move in repair.moves),
        smallest="proved" if repair.smallest else "not proved",
        size=repair.size,
        plan=label(repair.asked, repair.plan.counts),
    )
