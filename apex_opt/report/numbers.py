"""Numbers for people: three digits that mean something, thousands marked, units beside."""

from __future__ import annotations

GIB = 2**30


def figure(value: float) -> str:
    """Return a number with about three digits: `0.0042`, `3.14`, `31.4`, `31,416`."""
    size = abs(value)
    if size >= 99.95:
        return f"{value:,.0f}"
    if size >= 9.995:
        return f"{value:.1f}"
    if size >= 0.9995:
        return f"{value:.2f}"
    return f"{value:.2g}"


def money(value: float) -> str:
    """Return an amount of dollars; less than a cent keeps two digits."""
    return f"${value:,.2f}" if value >= 0.01 or value == 0 else f"${value:.2g}"


def percent(share: float) -> str:
    """Return a share in percent, never rounded up to `100 %` or down to `0 %`."""
    shown = f"{100 * share:.1f}" if abs(share) < 0.0995 or 0.9 < share < 1 else f"{100 * share:.0f}"
    if shown == "100.0" and share < 1:
        return "> 99.9 %"
    if shown == "0.0" and share > 0:
        return "< 0.1 %"
    return f"{shown.removesuffix('.0') if float(shown) in {0.0, 100.0} else shown} %"


def gib(size_bytes: int) -> str:
    """Return bytes in GiB, one decimal; what is not nothing never shows as it."""
    return "< 0.1" if 0 < size_bytes < 0.05 * GIB else f"{size_bytes / GIB:,.1f}"


def power(watts: float) -> str:
    """Return power in W, from 10,000 on in kW, from 10,000,000 on in MW."""
    for size, unit in ((1e6, "MW"), (1e3, "kW")):
        if watts >= 10 * size:
            return f"{watts / size:,.1f} {unit}"
    return f"{watts:,.0f} W"


def plural(count: int, noun: str) -> str:
    """Return a count with its noun: `1 device`, `2,000 devices`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
