"""Conversations: how many turns, and prompts that grow by all that was said."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from apex_opt.sim.steps import Int64
from apex_opt.spec.workload import Distribution
from apex_opt.trace.lengths import LONGEST, lengths
from apex_opt.trace.phases import MOST


@dataclass(frozen=True)
class Turns:
    """The turns of sessions, session after session.

    Attributes:
        session: (n,) int64, from 0, not decreasing.
        opening: (n,) bool, whether a request is the first of its session.
    """

    session: Int64
    opening: np.ndarray

    @property
    def after(self) -> Int64:
        """(n,) int64, the turn before, or -1."""
        return np.where(self.opening, -1, np.arange(len(self.session)) - 1)

    def grown(self, message: Int64, output: Int64) -> Int64:
        """Return prompts: all messages and outputs of the session so far, and the new message.

        Args:
            message: (n,) int64, tokens that a turn adds to what was said.
            output: (n,) int64, tokens of its reply.

        Raises:
            ValueError: a prompt grows to more than LONGEST.
        """
        said = np.cumsum(message + output) - output
        begin = np.flatnonzero(self.opening)
        before = said[begin] - message[begin]
        prompt = said - before[self.session]
        if prompt.max() > LONGEST:
            raise ValueError(f"a session grows to prompts of {int(prompt.max()):,} tokens")
        return prompt


def turns_of(
    distribution: Distribution, rng: np.random.Generator, *, requests: int | None, sessions: int
) -> Turns:
    """Return the turns of sessions.

    Args:
        distribution: turns of a session.
        rng: where chance comes from.
        requests: turns in all: the last session is cut; None: no limit.
        sessions: the most sessions, enough for `requests` where those are given.

    Raises:
        ValueError: more than MOST turns.
    """
    count = lengths(distribution, sessions, rng)
    end = np.cumsum(count)
    n = int(end[-1]) if requests is None else requests
    if n > MOST:
        raise ValueError(f"the sessions have {n:,} turns; ask for fewer with `requests`")
    count = count[: int(np.searchsorted(end, n)) + 1]
    count[-1] -= count.sum() - n
    session = np.repeat(np.arange(len(count)), count)
    return Turns(session, np.diff(session, prepend=-1) > 0)
