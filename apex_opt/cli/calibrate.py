"""`apexopt calibrate KERNELS_DIR`: fit a device's curves to measured kernels."""

from __future__ import annotations

import json as json_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from apex_opt.errors import CallError

if TYPE_CHECKING:
    from apex_opt.spec.pools import Device

Folder = Annotated[
    Path,
    typer.Argument(
        metavar="KERNELS_DIR",
        help="Folder of `gemm_measured.csv`, `decode_attention_measured.csv` and the like.",
    ),
]
DeviceName = Annotated[
    str | None,
    typer.Option(
        "--device",
        metavar="NAME",
        help="Device of the catalogue, or FILE.toml: a data sheet as in specs/devices; none: score "
        "all of the folder.",
    ),
]
Source = Annotated[
    str, typer.Option(metavar="TEXT", help="Where the measurements come from; goes into the file.")
]
Json = Annotated[
    str | None,
    typer.Option("--json", metavar="FILE|-", help="Write the curves as JSON; - is stdout."),
]
Out = Annotated[
    str | None,
    typer.Option(
        "--out", "-o", metavar="FILE|-", help="Write tables for specs/devices, TOML; - is stdout."
    ),
]


def calibrate(
    folder: Folder,
    device: DeviceName = None,
    source: Source = "measured kernels",
    json: Json = None,
    out: Out = None,
) -> None:
    """Fit the curves of a device to measured kernels, with the error on shapes left out.

    Without `--device`: the errors of all devices that the folder has rows of, by kind of operator.
    What was not measured keeps the numbers of the catalogue. Needs the extra `calibrate`. Exit
    status: 0 done; 2 the measurements or the call are wrong.
    """
    from apex_opt.cli import output

    if json is not None and json == out:
        raise CallError(f"the curves and the tables cannot both go to {out}")
    if device is None and out is not None:
        raise CallError("--out writes the tables of one device: name it with --device")
    for target in (json, out):
        if target is not None:
            output.check(target)
    if device is None:
        _score(folder, json)
    else:
        _fit(folder, device, source, json, out)


def _score(folder: Path, json: str | None) -> None:
    """Print how near the curves of all devices come."""
    from rich.console import Console

    from apex_opt.calibrate.scores import calibrations
    from apex_opt.calibrate.show import render_scores, scores_as_json
    from apex_opt.cli import output

    found = calibrations(folder)
    if json is not None:
        output.write(json_module.dumps(scores_as_json(found), indent=2), json)
    if json != "-":
        render_scores(found, Console(highlight=False))


def _sheet(device: str) -> Device:
    """Return the device of a name of the catalogue, or of a file."""
    from apex_opt.spec import catalog
    from apex_opt.spec.catalog import UnknownNameError
    from apex_opt.spec.loader import load_device

    if device.endswith(".toml"):
        return load_device(Path(device))
    try:
        return catalog.device(device)
    except UnknownNameError as why:
        raise CallError(f"--device: {why}") from None


def _fit(folder: Path, device: str, source: str, json: str | None, out: str | None) -> None:
    """Print, or write, the curves of a device."""
    from apex_opt.calibrate.calibration import calibrate as fit
    from apex_opt.calibrate.fragment import fragment
    from apex_opt.calibrate.show import as_json, render
    from apex_opt.cli import output

    found = fit(folder, _sheet(device))
    if json is not None:
        output.write(json_module.dumps(as_json(found), indent=2), json)
    if out is not None:
        output.write(fragment(found, source), out)
    if "-" not in (json, out):
        from rich.console import Console

        render(found, Console(highlight=False))
