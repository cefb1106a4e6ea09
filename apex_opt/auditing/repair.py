"""A repair: changes of entries with which a spec has a plan, and how much of that is proved."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from apex_opt.auditing.dials import CHOICE, Range
from apex_opt.auditing.entries import Entry
from apex_opt.plan.problem import Problem
from apex_opt.plan.tried import Tried
from apex_opt.spec.spec import Spec


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
        barred: for each change of a number, a value that is proved not to do, the others changed;
            None of a choice.
    """

    moves: tuple[Move, ...]
    spec: Spec
    asked: Problem
    plan: Tried
    smallest: bool
    barred: tuple[float | None, ...]

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


def moved(spec: Spec, moves: Sequence[Move]) -> Spec:
    """Return the spec with changes made."""
    for one in moves:
        spec = one.entry.dial.put(spec, one.value)
    return spec
