"""What a trace may have beside times and lengths: hashes of blocks, sessions, priorities."""

from __future__ import annotations

from array import array
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from apex_opt.sim.load import Prefixes
from apex_opt.sim.steps import Int64
from apex_opt.spec.words import name
from apex_opt.trace.radix import tree
from apex_opt.trace.readers.layout import Layout, Role
from apex_opt.trace.readers.values import CellError, Clock

MOST_BLOCKS = 200_000_000
"""Of all prompts together: they take 16 bytes each while they are read."""

UNKNOWN = -1


@dataclass
class Extras:
    """The extra columns that were read so far, a row a request.

    Attributes:
        layout: which columns there are.
        block: tokens of a block of hashes.
    """

    layout: Layout
    block: int
    hashes: array[int] = field(default_factory=lambda: array("q"))
    blocks: array[int] = field(default_factory=lambda: array("q"))
    columns: dict[Role, array[int]] = field(default_factory=dict)
    names: dict[object, int] = field(default_factory=dict)
    parsers: dict[Role, Callable[[object], int]] = field(init=False)

    def __post_init__(self) -> None:
        known: dict[Role, Callable[[object], int]] = {
            "session": self._named,
            "chat": self._named,
            "parent": self._named,
            "elapsed": _time(self.layout.clock),
            "think": _time(self.layout.clock),
            "priority": _priority,
        }
        self.parsers = {role: known[role] for role, _ in self.layout.extras if role in known}
        self.columns = {role: array("q") for role in self.parsers}

    def parsed(self, cells: tuple[object, ...], prompt: int) -> tuple[array[int], list[int]]:
        """Return a row's blocks and its other values.

        Args:
            cells: of the extra columns, in the order of the layout.
            prompt: tokens of the prompt.

        Raises:
            ValueError: one cannot be read; the message names its column.
        """
        values: list[int] = []
        hashes: array[int] = array("q")
        column = ""
        try:
            of_each = zip(self.layout.extras, cells, strict=True)
            for (role, column), cell in of_each:  # noqa: B007  # a fault names the column
                if role == "hashes":
                    hashes = _hashes(cell, prompt, self.block)
                else:
                    values.append(self.parsers[role](cell))
        except ValueError as why:
            raise CellError(f"{column}: {why}") from None
        if len(self.hashes) + len(hashes) > MOST_BLOCKS:
            raise CellError(f"more than {MOST_BLOCKS:,} blocks; cut the trace into parts")
        return hashes, values

    def add(self, hashes: array[int], values: list[int]) -> None:
        """Add a row, as it was parsed."""
        self.hashes.extend(hashes)
        self.blocks.append(len(hashes))
        for column, value in zip(self.columns.values(), values, strict=True):
            column.append(value)

    def column(self, role: Role, order: Int64) -> Int64:
        """Return a column in an order of the rows; of length 0 where it says nothing."""
        found = np.frombuffer(self.columns.get(role, array("q")), np.int64)
        nothing = 0 if role == "priority" else UNKNOWN
        return found[order] if (found != nothing).any() else np.empty(0, np.int64)

    def shared(self, order: Int64, prompt_tokens: Int64) -> tuple[Int64, Prefixes]:
        """Return with which node each prompt begins, in an order of the rows, and the nodes."""
        if not len(self.hashes):
            return np.empty(0, np.int64), Prefixes()
        counts = np.frombuffer(self.blocks, np.int64)
        old = np.cumsum(counts) - counts
        counts = counts[order]
        starts = np.concatenate([[0], np.cumsum(counts)])
        place = np.repeat(old[order] - starts[:-1], counts) + np.arange(starts[-1])
        ids = np.frombuffer(self.hashes, np.int64)[place]
        return tree(ids, starts, prompt_tokens, self.block)

    def _named(self, value: object) -> int:
        """Return a number for a name; UNKNOWN where there is none."""
        if value is None or value == "" or (isinstance(value, int) and value < 0):
            return UNKNOWN
        if isinstance(value, (list, dict, float)):
            raise CellError("must be a name or a whole number")
        return self.names.setdefault(value, len(self.names))


def _time(clock: Clock) -> Callable[[object], int]:
    """Return what reads a time; UNKNOWN where there is none."""
    return lambda value: UNKNOWN if value is None or value == "" else clock(value)


def _priority(value: object) -> int:
    """Return a priority; 0 where there is none."""
    if value is None or value == "":
        return 0
    try:
        number = int(value) if isinstance(value, str) else value
    except ValueError:
        number = None
    if isinstance(number, int) and not isinstance(number, bool) and abs(number) < 1 << 31:
        return number
    raise CellError(f"must be a whole number, got {name(str(value))}")


def _hashes(value: object, prompt: int, block: int) -> array[int]:
    """Return the ids of a prompt's blocks; none where they are left out."""
    if value is None:
        return array("q")
    if not isinstance(value, list):
        raise CellError("must be a list of whole numbers")
    try:
        ids: array[int] = array("q", value)
    except (TypeError, OverflowError):
        raise CellError("must be a list of whole numbers") from None
    if ids and len(ids) not in {prompt // block, -(-prompt // block)}:
        told = f"{len(ids):,} blocks of {block:,} tokens are not a prompt of {prompt:,}"
        raise CellError(f"{told}; say with `block_tokens` how long a block is")
    return ids
