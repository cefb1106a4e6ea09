"""A calibration as TOML: the `[link]` and `[efficiency]` tables of a catalogue entry."""

from __future__ import annotations

import textwrap
from typing import Any

from apex_opt.calibrate.calibration import KINDS, Calibration
from apex_opt.spec.table import Table

CURVES = ("products", "experts", "prefill", "decode", *KINDS)
LINK = frozenset({"link", "collectives"})
POWER = frozenset({"power"})
NEUTRAL = (0.0, 1.0)
"""Defaults of numbers that leave a part of a curve out: they need not be said."""


def fragment(calibration: Calibration, source: str) -> str:
    """Return the tables that a file of `specs/devices` takes in place of its own.

    Args:
        calibration: what was fitted.
        source: where the measurements come from.
    """
    link, efficiency = calibration.device.link, calibration.device.efficiency
    lines = ["[link]", *_scalars(link, skip={"source", "collectives"})]
    lines.append(f"source = {_text(_whose(calibration, LINK, source, link))}")
    lines += ["", "[link.host]", *_scalars(link.host, skip=set())]
    lines += _group("link.collectives", dict(link.collectives))
    lines += ["", "[efficiency]", *_scalars(efficiency, skip={"source"})]
    lines.append(f"source = {_text(_whose(calibration, frozenset(CURVES), source, efficiency))}")
    for name in CURVES:
        lines += _group(f"efficiency.{name}", getattr(efficiency, name))
    power = efficiency.power
    lines += ["", "[efficiency.power]", *_scalars(power, skip={"source"})]
    lines.append(f"source = {_text(_whose(calibration, POWER, source, power))}")
    return "\n".join(lines) + "\n"


def _whose(calibration: Calibration, groups: frozenset[str], source: str, table: Any) -> str:
    """Return the source of a table: the measurements, or what stood there before."""
    fits = [row.fit for row in calibration.rows if row.place[0] in groups]
    if not fits:
        return str(table.source)
    left_out, rows = sum(fit.left_out for fit in fits), sum(fit.rows for fit in fits)
    note = f"; {left_out} of {left_out + rows} rows left out" if left_out else ""
    versions = calibration.source(groups)
    return f"{source}: {versions}{note}" if versions else source + note


def _scalars(table: Table, skip: set[str]) -> list[str]:
    """Return the plain values of a table, a line each: what it is first, errors last."""
    values = table.model_dump(exclude=skip)
    plain = {k: v for k, v in values.items() if v is not None and not isinstance(v, dict)}
    order = {"kind": -2, "bandwidth_gbytes_per_s": -1, "error": 1}
    return [f"{key} = {_value(plain[key])}" for key in sorted(plain, key=lambda k: order.get(k, 0))]


def _group(name: str, curves: dict[Any, Any]) -> list[str]:
    """Return a table of curves, one a line."""
    if not curves:
        return []
    lines = ["", f"[{name}]"]
    for key, curve in curves.items():
        fields = type(curve).model_fields
        values = {
            k: v
            for k, v in curve.model_dump().items()
            if v is not None and not (v in NEUTRAL and v == fields[k].default)
        }
        names = sorted(values, key=lambda name: name == "error")
        lines.append(f"{key} = {{ {', '.join(f'{n} = {_value(values[n])}' for n in names)} }}")
    return lines


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, tuple):
        return f"[{', '.join(_value(v) for v in value)}]"
    return f"{value:.6g}" if abs(value) < 1e6 else f"{value:.0f}"


def _text(text: str) -> str:
    """Return a string of TOML, folded where it is long."""
    plain = text.strip().replace("\\", "\\\\").replace('"', '\\"')
    if len(plain) < 88:
        return f'"{plain}"'
    return '"""\\\n  ' + " \\\n  ".join(textwrap.wrap(plain, 94)) + '\\\n  """'
