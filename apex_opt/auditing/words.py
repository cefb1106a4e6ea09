"""Numbers and lists in words, as the stories of an audit use them."""

from __future__ import annotations

from collections.abc import Sequence


def digits(number: float) -> str:
    """Return a number with up to four digits, thousands marked; an exponent if it is next to 0."""
    if abs(number) >= 1000:
        return f"{number:,.0f}"
    plain = f"{number:.10f}".rstrip("0")
    return plain if 1e-9 <= abs(number) < 1e-4 else f"{number:.4g}"


def gigabytes(size_bytes: float) -> str:
    """Return bytes in GB of 1e9, one decimal."""
    return f"{size_bytes / 1e9:,.1f} GB"


def both(parts: Sequence[str]) -> str:
    """Return parts in a row: `a`, `a and b`, `a, b and c`."""
    *most, last = parts
    return f"{', '.join(most)} and {last}" if most else last
