"""What `apexopt calibrate` prints: the curves of a device, or how near those of all come."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from rich.console import Console

from apex_opt.calibrate.calibration import Calibration
from apex_opt.calibrate.scores import scores

NOTE = (
    "error: median and 90th percentile over shapes left out of the fit, percent; "
    "left out: rows that beat the data sheet"
)


def as_json(calibration: Calibration) -> dict[str, Any]:
    """Return the calibration as scripts read it."""
    return {
        "device": calibration.device.name,
        "curves": [
            {
                "place": ".".join(row.place),
                "rows": row.fit.rows,
                "left_out": row.fit.left_out,
                **row.fit.curve.model_dump(mode="json", exclude={"source"}),
            }
            for row in calibration.rows
        ],
    }


def render(calibration: Calibration, console: Console) -> None:
    """Print the curves, a line each, however long."""
    head = f"{'curve':<28}{'rows':>6}{'left out':>10}{'error':>14}  numbers"
    console.print(head, style="bold", soft_wrap=True)
    for curve in as_json(calibration)["curves"]:
        place, rows, left_out = curve.pop("place"), curve.pop("rows"), curve.pop("left_out")
        median, high = curve.pop("error")
        numbers = "  ".join(f"{name} {value:g}" for name, value in curve.items())
        error = f"{median:.1f} / {high:.1f}"
        line = f"{place:<28}{rows:>6}{left_out:>10}{error:>14}  {numbers}"
        console.print(line, soft_wrap=True, markup=False)
    console.print(f"\n{NOTE}", soft_wrap=True)


def scores_as_json(found: list[Calibration]) -> dict[str, Any]:
    """Return the errors of all devices as scripts read them, and the curves of each."""
    return {
        "scores": [asdict(score) for score in scores(found)],
        "devices": [as_json(calibration) for calibration in found],
    }


def render_scores(found: list[Calibration], console: Console) -> None:
    """Print the errors by class over all devices and of each, then those of each curve."""
    tally = f"{'rows':>6}{'left out':>10}{'error':>14}"
    told = [(s.device, s.name, s.rows, s.left_out, s.median, s.high) for s in scores(found)]
    curves = [
        (one.device.name, ".".join(row.place), row.fit.rows, row.fit.left_out, *row.fit.curve.error)
        for one in found
        for row in one.rows
    ]
    for head, lines in (("operators", told), ("curve", curves)):
        console.print(f"{'device':<20}{head:<28}{tally}", style="bold", soft_wrap=True)
        for device, name, rows, left_out, median, high in lines:
            error = f"{median:.1f} / {high:.1f}"
            line = f"{device:<20}{name:<28}{rows:>6}{left_out:>10}{error:>14}"
            console.print(line, soft_wrap=True, markup=False)
        console.print()
    console.print(NOTE, soft_wrap=True)
