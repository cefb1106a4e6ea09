"""`apexopt solve SPEC`: the best plan, proved and simulated."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from apex_opt.spec.spec import Spec

SpecFile = Annotated[str, typer.Argument(metavar="SPEC", help="The spec, a TOML file.")]
JsonTarget = Annotated[
    str | None,
    typer.Option("--json", metavar="FILE|-", help="Write the result as JSON; - is stdout."),
]
Seed = Annotated[
    int | None,
    typer.Option(min=0, max=2**63 - 1, help="Seed of the traffic; overrides the spec."),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress on stderr.")]


def solve(
    spec: SpecFile,
    top: Annotated[
        int | None,
        typer.Option("--top", min=1, max=100, metavar="K", help="Plans to return."),
    ] = None,
    json: JsonTarget = None,
    out: Annotated[
        str | None,
        typer.Option(metavar="DIR", help="Write PLAN.json and report.txt into this folder."),
    ] = None,
    seed: Seed = None,
    time_limit: Annotated[
        float | None, typer.Option(min=0.001, max=1e9, metavar="S", help="Seconds to search.")
    ] = None,
    executor: Annotated[
        str | None, typer.Option(metavar="local|ray", help="Where simulations run.")
    ] = None,
    explain: Annotated[
        bool, typer.Option("--explain", help="Where there is no plan, say why, as `audit` does.")
    ] = False,
    quiet: Quiet = False,
) -> None:
    """Find the best plan for SPEC, prove it, simulate it, and print it.

    Exit status: 0 a plan; 2 the spec or the call is wrong; 3 proved infeasible; 4 no plan and no
    proof in the time given.
    """
    from apex_opt.spec.loader import load

    loaded = load(spec)
    from rich.console import Console

    from apex_opt import api
    from apex_opt.cli import output
    from apex_opt.errors import InfeasibleError, UndecidedError
    from apex_opt.report.console import as_text, render
    from apex_opt.report.progress import progress

    target = None if out is None else output.folder(out)
    if json is not None:
        output.check(json)
    try:
        with progress(quiet=quiet) as listen:
            result = api.solve(
                loaded,
                top_k=top,
                seed=seed,
                time_limit_s=time_limit,
                executor=executor,
                listen=listen,
            )
    except (InfeasibleError, UndecidedError) as why:
        if explain:
            typer.echo(f"error: {why}\n", err=True)
            # What was proved in that time, an audit that has the same time proves too.
            proved = isinstance(why, InfeasibleError)
            seconds = time_limit or (loaded.search.time_limit_s if proved else None)
            _explain(loaded, seed, seconds, quiet=quiet)
            raise typer.Exit(why.exit_status) from None
        raise
    text = result.model_dump_json(indent=2)
    if target is not None:
        output.write(text, str(target / "PLAN.json"))
        output.write(as_text(result), str(target / "report.txt"))
    if json is not None:
        output.write(text, json)
    if json != "-":
        render(result, Console(highlight=False))


def _explain(spec: Spec, seed: int | None, time_limit_s: float | None, *, quiet: bool) -> None:
    """Print on stderr, where faults are told, why a spec has no plan."""
    from rich.console import Console

    from apex_opt import api
    from apex_opt.report.audit import render
    from apex_opt.report.progress import progress

    with progress(quiet=quiet) as listen:
        found = api.audit(spec, seed=seed, time_limit_s=time_limit_s, listen=listen)
    render(found, Console(stderr=True, highlight=False))
