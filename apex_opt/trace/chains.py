"""Which requests of a trace follow one another in a session, and how long their users think."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from apex_opt.sim.load import nothing
from apex_opt.sim.steps import Int64
from apex_opt.trace.readers.extras import UNKNOWN, Extras


@dataclass(frozen=True)
class Chain:
    """The sessions of a trace.

    Attributes:
        after: (n,) int64, the request before each in its session, or -1; of length 0: no sessions.
        think_ns: (n,) int64, from the end of that one to this one.
        notes: what people should know, a sentence each.
    """

    after: Int64 = field(default_factory=nothing)
    think_ns: Int64 = field(default_factory=nothing)
    notes: tuple[str, ...] = ()


def chained(extras: Extras, order: Int64, at: Int64, prompt: Int64, output: Int64) -> Chain:
    """Return the sessions of a trace.

    Args:
        extras: as they were read.
        order: (n,) int64, the rows in order of time.
        at: (n,) int64, times of arrival in that order, nanoseconds.
        prompt: (n,) int64, tokens.
        output: (n,) int64, tokens.
    """
    session, chat, parent = (extras.column(role, order) for role in ("session", "chat", "parent"))
    if len(session):
        before = _by_session(session)
    elif len(chat) and len(parent):
        before = _by_parent(chat, parent)
    else:
        return Chain()
    follows = before >= 0
    holds = follows & (prompt > prompt[before] + output[before])
    after = np.where(holds, before, -1)
    notes: list[str] = []
    if broken := int((follows & ~holds).sum()):
        notes.append(
            "turns whose prompt is too short for all that was said before begin a session: "
            f"{broken:,}"
        )
    if not holds.any():
        return Chain(notes=tuple(notes))
    think = extras.column("think", order)
    if not len(think):
        gap = at - at[after]
        elapsed = extras.column("elapsed", order)
        if not len(elapsed):
            notes.append("think times count from the turn before, not from its unknown end")
        think = gap - elapsed[after] if len(elapsed) else gap
    return Chain(after, np.where(holds, np.maximum(think, 0), 0), tuple(notes))


def _by_session(session: Int64) -> Int64:
    """Return the last request before each of the same session, or -1."""
    before = np.full(len(session), -1, np.int64)
    order = np.argsort(session, kind="stable")
    same = (np.diff(session[order]) == 0) & (session[order[1:]] != UNKNOWN)
    before[order[1:][same]] = order[:-1][same]
    return before


def _by_parent(chat: Int64, parent: Int64) -> Int64:
    """Return the request before each by its id, or -1; the first child of each alone."""
    place: dict[int, int] = {}
    before = np.full(len(chat), -1, np.int64)
    for i, (own, above) in enumerate(zip(chat.tolist(), parent.tolist(), strict=True)):
        before[i] = place.pop(above, -1)
        if own != UNKNOWN:
            place[own] = i
    return before


def openings(after: Int64) -> Int64:
    """Return the first request of the session of each, (n,) int64, from that before each, or -1."""
    first = np.where(after < 0, np.arange(len(after)), after)
    while (first != first[first]).any():  # twice as far back each time
        first = first[first]
    return first
