"""What `apexopt calibrate` prints: each curve with its numbers and its error."""

from __future__ import annotations

from typing import Any

from rich.console import Console

from apex_opt.calibrate.calibration import Calibration

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
