"""`apexopt schema`: the JSON Schema of a spec, for editors."""

from __future__ import annotations

import typer


def schema() -> None:
    """Print the JSON Schema of a spec: editors complete and check specs by it."""
    from apex_opt.spec.schema import text

    typer.echo(text(), nl=False)
