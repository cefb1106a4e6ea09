"""`apexopt audit SPEC`: why a spec cannot be met and what would help, or what binds it."""

from __future__ import annotations

from typing import Annotated

import typer

from apex_opt.cli.solve import JsonTarget, Quiet, Seed, SpecFile

STATUS = {"feasible": 0, "infeasible": 3, "undecided": 4}


def audit(
    spec: SpecFile,
    json: JsonTarget = None,
    seed: Seed = None,
    time_limit: Annotated[
        float | None, typer.Option(min=0.001, max=1e9, metavar="S", help="Seconds to ask.")
    ] = None,
    quiet: Quiet = False,
) -> None:
    """Say why no plan meets SPEC and what would help; where one does, what binds and what it costs.

    Exit status: 0 SPEC can be met; 2 the spec or the call is wrong; 3 proved infeasible; 4 neither
    a plan nor a proof in the time given.
    """
    from apex_opt.spec.loader import load

    loaded = load(spec)
    from rich.console import Console

    from apex_opt import api
    from apex_opt.cli import output
    from apex_opt.report.audit import render
    from apex_opt.report.progress import progress

    if json is not None:
        output.check(json)
    with progress(quiet=quiet) as listen:
        found = api.audit(loaded, seed=seed, time_limit_s=time_limit, listen=listen)
    if json is not None:
        output.write(found.model_dump_json(indent=2), json)
    if json != "-":
        render(found, Console(highlight=False))
    if status := STATUS[found.status]:
        raise typer.Exit(status)
