"""`apexopt pareto SPEC`: what one figure of a plan costs in another."""

from __future__ import annotations

from typing import Annotated

import typer

from apex_opt.cli.solve import JsonTarget, Quiet, Seed, SpecFile

AXES = (
    "cost, devices, energy, power, latency, goodput, throughput, or ttft, tpot, itl, e2e with "
    "_mean, _p50, _p90, _p95, _p99"
)


def pareto(
    spec: SpecFile,
    x: Annotated[str, typer.Option("--x", metavar="AXIS", help=f"One figure: {AXES}.")],
    y: Annotated[str, typer.Option("--y", metavar="AXIS", help="The other figure.")],
    points: Annotated[
        int, typer.Option("--points", min=2, max=100, metavar="N", help="Most points to show.")
    ] = 8,
    json: JsonTarget = None,
    seed: Seed = None,
    time_limit: Annotated[
        float | None, typer.Option(min=0.001, max=1e9, metavar="S", help="Seconds to search.")
    ] = None,
    quiet: Quiet = False,
) -> None:
    """Print the plans for SPEC of which none is better on both of two figures, with proof.

    Exit status: 0 a front; 2 the spec or the call is wrong; 3 proved infeasible; 4 no plan and no
    proof in the time given.
    """
    from apex_opt.spec.loader import load

    loaded = load(spec)
    from rich.console import Console

    from apex_opt import api
    from apex_opt.cli import output
    from apex_opt.report.pareto import render
    from apex_opt.report.progress import progress

    if json is not None:
        output.check(json)
    with progress(quiet=quiet) as listen:
        front = api.pareto(
            loaded, x, y, points=points, seed=seed, time_limit_s=time_limit, listen=listen
        )
    if json is not None:
        output.write(front.model_dump_json(indent=2), json)
    if json != "-":
        render(front, Console(highlight=False))
