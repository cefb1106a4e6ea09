"""Values of a trace: token counts and times, whatever type they come in, refused with a reason."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from datetime import datetime
from functools import lru_cache

from apex_opt.spec.words import name

LONGEST = 10**9
"""Tokens of the longest prompt or output: what is longer is a fault of the file."""

LATEST_NS = 1 << 62
"""Absolute times stay below this, 146 years, so that they fit in 64 bits."""

Clock = Callable[[object], int]
"""Turns a value into nanoseconds since any moment that all requests share; raises ValueError."""


class CellError(ValueError):
    """A value of a file that cannot be read; its text says why."""


_NS = 1_000_000_000
_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001  # wall-clock time is compared with wall-clock time
_SECOND = re.compile(r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d", re.ASCII)
_REST = re.compile(r"(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)?", re.ASCII)
_TO_SECOND = len("2023-11-16 18:17:03")


def tokens(value: object) -> int:
    """Return a count of tokens, from text or a number.

    Raises:
        ValueError: not a whole number from 1 to LONGEST.
    """
    if isinstance(value, str) and len(value) <= 10 and value.isascii() and value.isdecimal():
        count: float = int(value)  # this is how nearly all of them look
    else:
        count = _number(value)
    if not 1 <= count <= LONGEST or count != int(count):
        raise ValueError(f"must be a whole number from 1 to {LONGEST:,}, got {_said(value)}")
    return int(count)


def ticks(unit_ns: int) -> Clock:
    """Return the clock of times that are numbers of `unit_ns` nanoseconds."""

    def clock(value: object) -> int:
        number = _number(value)
        if not 0 <= number * unit_ns < LATEST_NS:
            raise ValueError(f"must be a time from 0 on, got {_said(value)}")
        return round(number * unit_ns)

    return clock


def date(value: object) -> int:
    """Return a date and time as nanoseconds since 1970; without an offset it counts as UTC.

    Raises:
        ValueError: not a date and time.
    """
    text = value if isinstance(value, str) else ""
    second = _second_ns(text[:_TO_SECOND])
    rest = _REST.fullmatch(text, _TO_SECOND)
    if second is None or rest is None:
        example = "2023-11-16 18:17:03.9799600"
        raise ValueError(f"must be a date and time such as {example}, got {_said(value)}")
    fraction, offset = rest.groups()
    ns = second + (int(fraction.ljust(9, "0")) if fraction else 0)
    return ns - _offset_ns(offset) if offset else ns


@lru_cache(maxsize=1024)  # many requests arrive in one second, and parsing it takes longest
def _second_ns(text: str) -> int | None:
    """Return a whole second as nanoseconds since 1970; None where it is none."""
    try:
        since = datetime.fromisoformat(text) - _EPOCH if _SECOND.fullmatch(text) else None
    except ValueError:  # the 31st of February
        return None
    return (since.days * 86_400 + since.seconds) * _NS if since is not None else None


def _offset_ns(text: str) -> int:
    """Return `Z` or `+02:00` as a difference from UTC."""
    if text == "Z":
        return 0
    size = (int(text[1:3]) * 60 + int(text[4:6])) * 60 * _NS
    return -size if text[0] == "-" else size


def _said(value: object) -> str:
    return name(value if isinstance(value, str) else json.dumps(value))


def _number(value: object) -> float:
    """Return a finite number, as an int where it is written as one."""
    number = _parsed(value)
    if number is None:
        raise ValueError(f"must be a number, got {_said(value)}")
    if isinstance(number, float) and not math.isfinite(number):
        raise ValueError(f"must be a finite number, got {_said(value)}")
    return number


def _parsed(value: object) -> float | None:
    """Return the number that a value is or spells; None where there is none."""
    if isinstance(value, str) and "_" not in value:
        try:
            return float(value)
        except ValueError:
            return None
    return value if isinstance(value, (int, float)) and not isinstance(value, bool) else None
