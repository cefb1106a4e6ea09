"""`apexopt simulate SPEC`: play the traffic of a spec on a plan of your choice."""

from __future__ import annotations

from typing import Annotated

import typer

from apex_opt.cli.solve import JsonTarget, Quiet, Seed, SpecFile

Degree = int | None


def simulate(
    spec: SpecFile,
    plan: Annotated[
        str | None, typer.Option(metavar="PLAN.json", help="A plan that `solve` wrote.")
    ] = None,
    rank: Annotated[int, typer.Option(min=1, max=100, help="Which plan of the file.")] = 1,
    tensor: Annotated[Degree, typer.Option(min=1, help="Tensor parallel degree.")] = None,
    pipeline: Annotated[Degree, typer.Option(min=1, help="Pipeline stages.")] = None,
    expert: Annotated[Degree, typer.Option(min=1, help="Expert parallel degree.")] = None,
    replicas: Annotated[Degree, typer.Option(min=1, help="Copies.")] = None,
    pool: Annotated[str | None, typer.Option(help="Pool; default: the first.")] = None,
    weights: Annotated[str | None, typer.Option(help="Weight format.")] = None,
    kv_cache: Annotated[str | None, typer.Option(help="KV-cache format.")] = None,
    json: JsonTarget = None,
    seed: Seed = None,
    quiet: Quiet = False,
) -> None:
    """Simulate the traffic of SPEC on a plan: one that `solve` wrote, or --tensor, --replicas.

    Exit status: 0 simulated, whether or not the service levels are met; 2 the spec or the call is
    wrong.
    """
    from rich.console import Console

    from apex_opt import api
    from apex_opt.cli import output
    from apex_opt.errors import CallError
    from apex_opt.plan.by_hand import Wish, read_plan
    from apex_opt.report.command import checkpoint
    from apex_opt.report.progress import progress
    from apex_opt.report.simulation import render_plan

    wish = Wish(tensor, pipeline, expert, replicas, pool, weights, kv_cache)
    if plan is not None and wish != Wish():
        raise CallError("--plan names the whole plan; leave out --tensor and the like")
    if json is not None:
        output.check(json)
    with progress(quiet=quiet) as listen:
        loaded = api.load(spec)
        played = api.simulate(
            loaded,
            None if plan is None else read_plan(plan, rank),
            wish=wish,
            seed=seed,
            listen=listen,
        )
    if json is not None:
        output.write(played.model_dump_json(indent=2), json)
    if json != "-":
        model = checkpoint(loaded.model.name, loaded.model.aliases)
        render_plan(played, Console(highlight=False), model)
