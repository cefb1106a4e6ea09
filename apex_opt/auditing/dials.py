"""How an entry of a spec can be loosened: a number within a range, or one of a few other values."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from apex_opt.auditing.words import digits
from apex_opt.spec.spec import Spec

Put = Callable[[Spec, Any], Spec]
FINE = 0.009
"""Relative precision to which a number is sought, before it is rounded to four digits.

Whole numbers are sought exactly.
"""


FINEST = 1e-9
"""The same as a part of the range: numbers that are sought next to 0 come to an end too."""


@dataclass(frozen=True)
class Range:
    """A number that may move from its value towards the end of a stated range.

    Attributes:
        value: what the spec says.
        end: the loosest value that is looked at; below `value` where less is looser.
        whole: whether only whole numbers have a meaning.
        unit: shown behind the number, of whole things in the plural; may be empty.
        put: returns the spec with another number.
    """

    value: float
    end: float
    whole: bool
    unit: str
    put: Put

    @property
    def loosest(self) -> Callable[[Spec], Spec]:
        """The change to the end of the range."""
        return lambda spec: self.put(spec, self.exact(self.end))

    @property
    def looser(self) -> float:
        """1 where a larger number is looser, else -1."""
        return 1.0 if self.end >= self.value else -1.0

    def exact(self, number: float) -> float | int:
        """Return a number as the spec holds it."""
        return round(number) if self.whole else float(number)

    def closed(self, tight: float, loose: float) -> bool:
        """Whether no number worth looking at lies between two."""
        gap, least = abs(loose - tight), FINEST * abs(self.end - self.value)
        return gap <= 1 if self.whole else gap <= max(FINE * max(abs(tight), abs(loose)), least)

    def between(self, tight: float, loose: float) -> float:
        """Return a number between two, half-way by ratio where both are positive."""
        low, high = sorted((tight, loose))
        middle = math.sqrt(low * high) if low > 0 else (low + high) / 2
        return float(min(max(round(middle), low + 1), high - 1)) if self.whole else middle

    def rounded(self, number: float) -> float:
        """Return a number of four digits, no tighter than `number` and within the range."""
        near = number
        if not self.whole and number != 0:
            grid = 10.0 ** (math.floor(math.log10(abs(number))) - 3)
            steps = number / grid
            steps = math.ceil(steps - 1e-9) if self.looser > 0 else math.floor(steps + 1e-9)
            near = float(f"{steps * grid:.12g}")
        return min(near, self.end) if self.looser > 0 else max(near, self.end)

    def tighter(self, number: float) -> float:
        """Return a number one unit, or 1 %, tighter."""
        return number - self.looser * (1 if self.whole else 0.01 * abs(number))

    def looser_by_little(self, number: float) -> float:
        """Return a number so little looser that none worth looking at lies between."""
        return number + self.looser * (1 if self.whole else FINE / 2 * abs(number))

    def size(self, number: float) -> float:
        """Return how large the change to a number is: the difference of the logarithms.

        From none, or to none, each whole number counts as one more.
        """
        if self.whole and not (number and self.value):
            return abs(math.log((number + 1) / (self.value + 1)))
        least = 1e-9
        return abs(math.log(max(number, least) / max(self.value, least)))

    def say(self, number: float) -> str:
        """Return a number for people."""
        shown = f"{number:,.0f}" if self.whole else digits(number)
        unit = self.unit[:-1] if self.whole and number == 1 else self.unit
        return f"{shown} {unit}".rstrip()


@dataclass(frozen=True)
class Options:
    """Other values, each looked at alone, nearest first; and one that allows them all.

    Attributes:
        value: what the spec says, for people.
        others: (value, words) of each: `allow fp8 weights`.
        widest: the value that allows all of them.
        put: returns the spec with another value.
    """

    value: str
    others: tuple[tuple[Any, str], ...]
    widest: Any
    put: Put

    @property
    def loosest(self) -> Callable[[Spec], Spec]:
        """The change to the value that allows all others."""
        return lambda spec: self.put(spec, self.widest)


CHOICE = math.log(1.5)
"""How large a change of a choice counts: as much as half as much again of a number."""

Dial = Range | Options


def under(table: str, key: str) -> Put:
    """Return what sets `key` of a table of the spec."""

    def put(spec: Spec, value: Any) -> Spec:
        changed = getattr(spec, table).model_copy(update={key: value})
        return replaced(spec, {table: changed})

    return put


def in_pool(nth: int, key: str) -> Put:
    """Return what sets `key` of a pool."""

    def put(spec: Spec, value: Any) -> Spec:
        pools = list(spec.pools)
        pools[nth] = pools[nth].model_copy(update={key: value})
        return replaced(spec, {"pools": tuple(pools)})

    return put


def replaced(spec: Spec, update: dict[str, Any]) -> Spec:
    """Return the spec with other tables, from the same file."""
    return spec.model_copy(update=update).placed(spec.folder, spec.lines)
