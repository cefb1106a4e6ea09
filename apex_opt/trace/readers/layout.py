"""How a format writes a request: which columns say what, and in which unit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from apex_opt.trace.readers.values import Clock


@dataclass(frozen=True)
class Layout:
    """A trace format.

    Attributes:
        name: what a spec calls it.
        style: lines of comma-separated values under a header, or a JSON object a line.
        arrival: column of the time of arrival.
        clock: what turns it into nanoseconds.
        prompt: column of the prompt's tokens.
        output: column of the output's tokens.
        others: further columns, by which the format is known; they are not read.
        optional: columns that a CSV may have beside; a JSON object may have any.
        failed: whether a request with an output of `0` failed in reality, and is left out.
        note: what of the format is not used, a sentence.
    """

    name: str
    style: Literal["csv", "jsonl"]
    arrival: str
    clock: Clock
    prompt: str
    output: str
    others: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    failed: bool = False
    note: str | None = None

    @property
    def read(self) -> tuple[str, str, str]:
        """The columns that are read: arrival, prompt, output."""
        return self.arrival, self.prompt, self.output

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that every file of the format has."""
        return *self.read, *self.others

    def fits(self, columns: list[str]) -> bool:
        """Whether a file with these columns can be of this format."""
        if self.style == "jsonl":
            return set(self.columns) <= set(columns)
        return set(self.columns) <= set(columns) <= {*self.columns, *self.optional}
