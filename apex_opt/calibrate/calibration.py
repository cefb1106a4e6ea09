"""The calibration of a device: every curve that the measurements of a folder allow."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from apex_opt.calibrate import attention, collectives, families, power, products
from apex_opt.calibrate.columns import Columns, read
from apex_opt.calibrate.fit import Fit
from apex_opt.spec.device_efficiency import AttentionFormat, Curve, Efficiency
from apex_opt.spec.device_link import Link
from apex_opt.spec.pools import Device

MEASURED_BAND = 0.15
"""Stated error of a step's kernels on a measured device: typical 90th percentile of the fits."""

KINDS: dict[str, Callable[[Columns, Device], Mapping[AttentionFormat, Fit[Any]]]] = {
    "latent_prefill": families.latent_prefill,
    "latent_decode": families.latent_decode,
    "sparse_prefill": families.sparse_prefill,
    "window_prefill": families.window_prefill,
    "window_decode": families.window_decode,
    "linear_prefill": families.linear_prefill,
    "linear_decode": families.linear_decode,
}
"""Kinds of attention that have a file and a table of curves of their own, by the name of both."""

GROUPS = {
    "gemm": frozenset({"products"}),
    "moe": frozenset({"experts"}),
    "prefill_attention": frozenset({"prefill"}),
    "decode_attention": frozenset({"decode"}),
    **{name: frozenset({name}) for name in KINDS},
    "power": frozenset({"power"}),
    "collectives": frozenset({"link", "collectives"}),
}
"""Which tables of a device the rows of a file are fitted to."""


@dataclass(frozen=True)
class Row:
    """One fitted curve: where it stands in a device's TOML, and the fit."""

    place: tuple[str, ...]
    fit: Fit[Any]


@dataclass(frozen=True)
class Calibration:
    """A device with its fitted curves; what was not measured keeps the numbers that it had."""

    device: Device
    rows: tuple[Row, ...]
    sources: dict[str, tuple[str, ...]]

    def source(self, groups: frozenset[str]) -> str:
        """Return which measurements the rows of some groups come from, as `src` columns say."""
        families = [family for family in self.sources if GROUPS[family] & groups]
        return ", ".join(sorted({src for family in families for src in self.sources[family]}))


def calibrate(folder: Path, device: Device) -> Calibration:
    """Return the calibration of `device` from the measurements in a folder.

    Raises:
        CallError: scipy is missing, or the files cannot be used; see `columns.read`.
    """
    tables = read(folder, device)
    rows = tuple(row for family, table in tables.items() for row in _fits(family, table, device))
    sources = {name: tuple(set(table.values.get("src", ()))) for name, table in tables.items()}
    return Calibration(_with(device, rows), rows, sources)


def _fits(family: str, table: Columns, device: Device) -> list[Row]:
    """Return the curves of one table."""
    groups: dict[str, dict[Any, Fit[Any] | None]] = {}
    if family == "gemm":
        groups = {"products": {**products.products(table, device)}}
    elif family == "moe":
        groups = {"experts": {**products.experts(table, device)}}
    elif family == "prefill_attention":
        groups = {"prefill": {**attention.prefill(table, device)}}
    elif family == "decode_attention":
        groups = {"decode": {**attention.decode(table, device)}}
    elif family in KINDS:
        groups = {family: {**KINDS[family](table, device)}}
    elif family == "power":
        groups = {"power": {"": power.power(table, device)}}
    else:
        own = collectives.own_all_reduce(table, device)
        groups = {"link": {"": own}, "collectives": {**collectives.nccl(table, device)}}
    return [
        Row(tuple(part for part in (group, name) if part), fitted)
        for group, fits in groups.items()
        for name, fitted in fits.items()
        if fitted is not None
    ]


def _with(device: Device, rows: tuple[Row, ...]) -> Device:
    """Return the device with the fitted curves in place."""
    efficiency, link = device.efficiency.model_dump(), device.link.model_dump()
    for row in rows:
        curve: Curve = row.fit.curve
        group, *name = row.place
        if group == "link":
            link |= curve.model_dump()
        elif group == "collectives":
            link[group][name[0]] = curve.model_dump()
        elif group == "power":
            efficiency[group] |= curve.model_dump(include={"compute", "memory", "active", "error"})
        else:
            efficiency[group] = {} if row is _first(rows, group) else efficiency[group]
            efficiency[group][name[0]] = curve.model_dump()
    if any(row.place[0] == "products" for row in rows):
        efficiency["error_band"] = MEASURED_BAND
    update = {
        "efficiency": Efficiency.model_validate(efficiency),
        "link": Link.model_validate(link),
    }
    return device.model_copy(update=update)


def _first(rows: tuple[Row, ...], group: str) -> Row:
    """Return the first row of a group: measured curves replace all priors of it."""
    return next(row for row in rows if row.place[0] == group)
