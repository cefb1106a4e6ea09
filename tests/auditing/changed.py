"""Changes that an audit tells, made to the spec."""

from __future__ import annotations

from apex_opt.auditing.beyond import widenings
from apex_opt.auditing.dials import Range
from apex_opt.auditing.story import known_entries


def entries_of(spec, judge, found):
    """Return by key the entries that an audit may have changed."""
    known = {e.key: e for e in known_entries(spec, judge, judge.ask(spec))}
    return known | {e.key: e for c in found.conflicts for e in widenings(spec, c.code)}


def made(known, relaxation, spec):
    """Return the spec with a relaxation made."""
    for change in relaxation.changes:
        spec = applied(known[change.entry.key], change, spec)
    return spec


def applied(entry, change, spec):
    """Return the spec with one change made."""
    if isinstance(entry.dial, Range):
        return entry.dial.put(spec, entry.dial.exact(change.number))
    value = {words: value for value, words in entry.dial.others}[change.value]
    return entry.dial.put(spec, value)


def tighter(entry, change, spec):
    """Return the spec with a change one unit, or 1 %, smaller."""
    step = 1 if entry.dial.whole else 0.01 * change.number
    return entry.dial.put(spec, entry.dial.exact(change.number - entry.dial.looser * step))
