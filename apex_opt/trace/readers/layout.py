"""How a format writes a request: which columns say what, and in which unit."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

from apex_opt.trace.readers.values import Clock

Cells = tuple[object, ...]
"""Arrival, prompt and output of a request, and its extras, as the file has them; None: left out."""

Record = dict[str, Any]
"""A JSON object."""

Style = Literal["csv", "jsonl", "nested"]

Role = Literal["hashes", "session", "chat", "parent", "elapsed", "think", "priority"]
"""What an extra column says.

hashes: ids of the blocks of the prompt; session: which conversation; chat, parent: the request's
own id and that of the one before it; elapsed, think: times, in the unit of the arrival; priority.
"""


@dataclass(frozen=True)
class Layout:
    """A trace format.

    Attributes:
        name: what a spec calls it.
        style: lines of comma-separated values under a header, a JSON object for each request, or
            JSON objects of several requests each.
        arrival: column of the time of arrival.
        clock: what turns it into nanoseconds.
        prompt: column of the prompt's tokens.
        output: column of the output's tokens.
        others: further columns, by which the format is known.
        optional: columns that a CSV may have beside; a JSON object may have any.
        extras: columns that are read where they are there, and what they say.
        block_tokens: tokens of a block of hashes.
        unordered: whether requests need not stand in order of time.
        untimed: whether requests may have no time.
        split: what turns an object of several requests into the cells of each, given how many
            characters make a token; it raises ValueError.
        note: what of the format people should know, a sentence.
    """

    name: str
    style: Style
    arrival: str
    clock: Clock
    prompt: str
    output: str
    others: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    extras: tuple[tuple[Role, str], ...] = ()
    block_tokens: int = 1
    unordered: bool = False
    untimed: bool = False
    split: Callable[[Record, float], Iterator[Cells]] | None = None
    note: str | None = None

    @property
    def read(self) -> tuple[str, str, str]:
        """The columns that are read of every request: arrival, prompt, output."""
        return self.arrival, self.prompt, self.output

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns, or keys, that every file of the format has."""
        if self.split:
            return self.others
        return *(self.read[1:] if self.untimed else self.read), *self.others

    def fits(self, columns: list[str]) -> bool:
        """Whether a file with these columns can be of this format."""
        if self.style == "csv":
            return set(self.columns) <= set(columns) <= {*self.columns, *self.optional}
        return set(self.columns) <= set(columns)
