"""Measured kernels, as columns: one CSV file a kind of kernel, rows of many systems."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from apex_opt.cost.curves import Array
from apex_opt.errors import CallError
from apex_opt.spec import catalog
from apex_opt.spec.files import UnreadableError, read_text
from apex_opt.spec.pools import Device

MOST_BYTES = 64 << 20
FAMILIES = (
    "gemm",
    "prefill_attention",
    "decode_attention",
    "latent_prefill",
    "latent_decode",
    "sparse_prefill",
    "window_prefill",
    "window_decode",
    "linear_prefill",
    "linear_decode",
    "moe",
    "collectives",
    "power",
)
"""`<family>_measured.csv` of a folder."""


@dataclass(frozen=True)
class Columns:
    """Rows of one system, by column.

    Attributes:
        name: of the file.
        lines: line of each row in it.
        values: text of each column.
    """

    name: str
    lines: tuple[int, ...]
    values: dict[str, tuple[str, ...]]

    def __len__(self) -> int:
        return len(self.lines)

    def texts(self, column: str) -> tuple[str, ...]:
        """Return a column as it is written.

        Raises:
            CallError: the file has no such column.
        """
        if column not in self.values:
            raise CallError(f"{self.name}: column `{column}` is missing")
        return self.values[column]

    def numbers(self, column: str) -> Array:
        """Return a column as numbers of 0 or more.

        Raises:
            CallError: the file has no such column, or a row of it holds no such number.
        """
        texts, found = self.texts(column), np.empty(len(self))
        for i, text in enumerate(texts):
            try:
                found[i] = float(text)
            except ValueError:
                found[i] = np.nan
            if not np.isfinite(found[i]) or found[i] < 0:
                where = f"{self.name}:{self.lines[i]}: {column}"
                raise CallError(f"{where}: must be a number of 0 or more, got `{text[:40]}`")
        return found

    def microseconds(self) -> Array:
        """Return the measured times, seconds.

        Raises:
            CallError: as `numbers`, or a time is 0.
        """
        found = self.numbers("latency_us")
        if len(self) and found.min() <= 0:
            line = self.lines[int(found.argmin())]
            raise CallError(f"{self.name}:{line}: latency_us: must be above 0")
        return found * 1e-6

    def pick(self, wanted: list[bool]) -> Columns:
        """Return the rows that are wanted."""
        kept = [i for i, want in enumerate(wanted) if want]
        values = {k: tuple(v[i] for i in kept) for k, v in self.values.items()}
        return Columns(self.name, tuple(self.lines[i] for i in kept), values)

    def where(self, column: str, text: str) -> Columns:
        """Return the rows that hold `text` in a column."""
        return self.pick([value == text for value in self.texts(column)])


def read(folder: Path, device: Device) -> dict[str, Columns]:
    """Return the rows of a device from each file of a folder; files that are absent are left out.

    Args:
        folder: holds `gemm_measured.csv` and the like.
        device: rows belong to it where `system` is one of its names.

    Raises:
        CallError: there is no such file, one cannot be read, or none has rows of the device.
    """
    found, present = {}, _present(folder)
    for family, rows in present.items():
        names = rows.texts("system")
        mine = {name for name in set(names) if is_device(name, device)}
        if mine:
            found[family] = rows.pick([name in mine for name in names])
    if not found:
        known = ", ".join(sorted(_systems(present))[:12])
        raise CallError(f"{folder}: no row of `{device.name}`; the systems there are {known}")
    return found


def devices(folder: Path) -> list[Device]:
    """Return the devices of the catalogue that a folder has rows of.

    Raises:
        CallError: as `read`, or the catalogue knows none of the systems.
    """
    systems = sorted(_systems(_present(folder)))
    known = {catalog.device(s).name: catalog.device(s) for s in systems if _known(s)}
    if not known:
        raise CallError(f"{folder}: no device of the catalogue among {', '.join(systems[:12])}")
    return list(known.values())


def _present(folder: Path) -> dict[str, Columns]:
    """Return all rows of each file that is there.

    Raises:
        CallError: there is none, or one cannot be read.
    """
    paths = {family: folder / f"{family}_measured.csv" for family in FAMILIES}
    present = {family: _read(path) for family, path in paths.items() if path.exists()}
    if not present:
        raise CallError(f"{folder}: no measurements; expected `{paths['gemm'].name}` or the like")
    return present


def _systems(present: dict[str, Columns]) -> set[str]:
    return {name for rows in present.values() for name in rows.texts("system")}


def _known(system: str) -> bool:
    return catalog.knows("devices", system)


def is_device(system: str, device: Device) -> bool:
    """Return whether a system of a table is a device: by its name or an alias, however spelt."""
    return catalog.fold(system) in map(catalog.fold, (device.name, *device.aliases))


def _read(path: Path) -> Columns:
    try:
        text = read_text(path, MOST_BYTES)
    except UnreadableError as why:
        raise CallError(f"{path}: {why}") from None
    reader = csv.reader(io.StringIO(text))
    try:
        header = next(reader, [])
        lines, rows = [], []
        for row in reader:
            if len(row) != len(header):
                raise CallError(
                    f"{path.name}:{reader.line_num}: {len(row)} values, {len(header)} columns"
                )
            lines.append(reader.line_num)
            rows.append(row)
    except csv.Error as why:
        raise CallError(f"{path.name}:{reader.line_num}: {why}") from None
    values = {name: tuple(row[i] for row in rows) for i, name in enumerate(header)}
    return Columns(path.name, tuple(lines), values)
