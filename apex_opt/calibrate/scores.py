"""How near the curves come: errors over all devices of a folder, by class of operator."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from apex_opt.calibrate.calibration import KINDS, Calibration, calibrate
from apex_opt.calibrate.columns import devices

CLASSES = {
    "matrix products": {"products"},
    "routed experts": {"experts"},
    "attention of prompts": {"prefill", *(kind for kind in KINDS if kind.endswith("prefill"))},
    "attention, decoding": {"decode", *(kind for kind in KINDS if kind.endswith("decode"))},
    "collectives": {"link", "collectives"},
    "power": {"power"},
}
"""Which groups of curves are told together."""


@dataclass(frozen=True)
class Score:
    """Errors of some curves on shapes left out of their fits, percent.

    Attributes:
        device: whose curves; "all": of all devices.
        name: of the class of operators.
        rows, left_out: rows that were scored, and rows that beat the data sheet.
        median, high: median and 90th percentile over the rows.
    """

    device: str
    name: str
    rows: int
    left_out: int
    median: float
    high: float


def calibrations(folder: Path) -> list[Calibration]:
    """Return the calibration of every device that a folder has rows of.

    Raises:
        CallError: scipy is missing, or the files cannot be used; see `columns.read`.
    """
    return [calibrate(folder, device) for device in devices(folder)]


def scores(found: Iterable[Calibration]) -> list[Score]:
    """Return the errors by class: over all devices first, then of each."""
    found = list(found)
    each = [score for one in found for score in _by_class(one.device.name, [one])]
    return [*_by_class("all", found), *each]


def _by_class(device: str, found: list[Calibration]) -> Iterator[Score]:
    """Yield the errors of each class that was measured."""
    for name, groups in CLASSES.items():
        fits = [row.fit for one in found for row in one.rows if row.place[0] in groups]
        if fits:
            errors = np.concatenate([fit.errors for fit in fits])
            middle, high = (float(x) for x in np.percentile(errors, [50, 90]))
            left_out = sum(fit.left_out for fit in fits)
            yield Score(device, name, len(errors), left_out, middle, high)
