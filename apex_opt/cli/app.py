"""The command line: commands, exit statuses, and what a fault looks like.

Exit status: 0 done; 1 a bug of apexopt; 2 the spec or the call is wrong; 3 proved infeasible; 4
neither a plan nor a proof in the time given. Results go to stdout, talk to stderr. Each command
imports what it needs when it runs, so that `--help` answers at once.
"""

from __future__ import annotations

import errno
import signal
import sys
from typing import Annotated

import typer

from apex_opt.cli.audit import audit
from apex_opt.cli.calibrate import calibrate
from apex_opt.cli.capacity import capacity
from apex_opt.cli.catalog import catalog
from apex_opt.cli.pareto import pareto
from apex_opt.cli.schema import schema
from apex_opt.cli.simulate import simulate
from apex_opt.cli.solve import solve
from apex_opt.cli.trace import trace
from apex_opt.errors import ApexError, CallError, InfeasibleError, UndecidedError
from apex_opt.version import VERSION

BUG = "This is a bug of apexopt; please report it with what follows."
HINT = "\nhint: `apexopt audit` says of a spec what cannot hold together, and what would help"
FULL = {errno.ENOSPC, errno.EDQUOT, errno.EIO}
"""Faults of where stdout leads, not ours."""

app = typer.Typer(
    name="apexopt",
    help="The best way to serve a language model: planned, proved, simulated request by request.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _version(*, asked: bool) -> None:
    if asked:
        typer.echo(f"apexopt {VERSION}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            callback=lambda asked: _version(asked=asked),
            is_eager=True,
            help="Print the version.",
        ),
    ] = False,
) -> None:
    """The best way to serve a language model: planned, proved, simulated request by request."""


app.command()(solve)
app.command()(audit)
app.command()(simulate)
app.command()(capacity)
app.command()(pareto)
app.command()(trace)
app.command()(calibrate)
app.command()(catalog)
app.command()(schema)


def _run() -> None:
    if sys.stdout is None:
        raise CallError("stdout is closed; send it to a file, or to /dev/null")
    app()


def main() -> None:
    """Run the command line and leave with its exit status.

    Where the reader of a pipe leaves, as `head` does, the command ends silently by SIGPIPE, as
    other tools do: Python, Rich and Typer would each end it in another way.
    """
    if hasattr(signal, "SIGPIPE"):
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    try:
        _run()
    except ApexError as fault:
        typer.secho("error: ", fg="red", bold=True, err=True, nl=False)
        typer.echo(str(fault), err=True)
        if isinstance(fault, (InfeasibleError, UndecidedError)):
            typer.echo(HINT, err=True)
        sys.exit(fault.exit_status)
    except OSError as why:
        if why.errno not in FULL:
            typer.secho(BUG, err=True)
            raise
        typer.echo(f"error: the output cannot be written: {why.strerror}", err=True)
        sys.exit(2)
    except Exception:
        typer.secho(BUG, err=True)
        raise


if __name__ == "__main__":
    main()
