"""Numbers for people: three digits that mean something, thousands marked, units beside."""

from __future__ import annotations

GIB = 2**30
THINGS = {"devices": "device", "replicas": "replica"}
"""Units that are counted, with the name of one."""


def figure(value: float) -> str:
    """Return a number with about three digits: `0.0042`, `0.31`, `3.14`, `31.4`, `31,416`."""
    size = abs(value)
    if size >= 99.95:
        return f"{value:,.0f}"
    if size >= 9.995:
        return f"{value:.1f}"
    return f"{value:.2f}" if size >= 0.0995 else f"{value:.2g}"


def count(value: float, unit: str) -> str:
    """Return an amount with its unit; whole numbers, as of devices, stay whole."""
    if unit in THINGS:
        return plural(round(value), THINGS[unit])
    return f"{value:,.0f} {unit}" if value == int(value) else f"{figure(value)} {unit}"


def money(value: float) -> str:
    """Return an amount of dollars; less than a cent keeps two digits."""
    return f"${value:,.2f}" if value >= 0.01 or value == 0 else f"${value:.2g}"


def percent(share: float) -> str:
    """Return a share in percent: `< 0.1 %`, `4.2 %`, `42 %`."""
    if 0 < share < 0.0005:
        return "< 0.1 %"
    return f"{100 * share:.1f} %" if 0 < share < 0.0995 else f"{100 * share:,.0f} %"


def quota(share: float) -> str:
    """Return a share of requests in percent; only all of them are `100 %`."""
    if share == 1:
        return "100 %"
    return f"{100 * share:.1f} %" if share < 0.9995 else "> 99.9 %"


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
