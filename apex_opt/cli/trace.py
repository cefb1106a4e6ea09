"""`apexopt trace FILE`: describe, cut and convert a trace."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from apex_opt.errors import CallError

if TYPE_CHECKING:
    from apex_opt.spec.workload import Repair
    from apex_opt.trace.trace import Trace
    from apex_opt.trace.writers import Writer

TraceFile = Annotated[
    str, typer.Argument(metavar="FILE", help="The trace: CSV, JSON or Parquet, plain or in gzip.")
]
Format = Annotated[
    str | None,
    typer.Option(metavar="FORMAT", help="Format of FILE; default: told by its columns."),
]
Json = Annotated[
    str | None,
    typer.Option("--json", metavar="FILE|-", help="Write the description as JSON; - is stdout."),
]
From = Annotated[
    float,
    typer.Option(
        "--from", min=0, max=1e9, metavar="S", help="Leave out what comes before this second."
    ),
]
Until = Annotated[
    float | None,
    typer.Option(min=0, max=1e9, metavar="S", help="Leave out what comes from this second on."),
]
Requests = Annotated[
    int | None, typer.Option(min=1, max=100_000_000, metavar="N", help="Keep the first N.")
]
TimeScale = Annotated[
    float,
    typer.Option(min=0, max=1e18, metavar="X", help="Multiply times by this; 0.5: twice the rate."),
]
Repairs = Annotated[
    str,
    typer.Option(
        metavar="LIST",
        help="Faults to mend and count: sort, drop_failed, drop_faulty; several with commas.",
    ),
]
BlockTokens = Annotated[
    int | None,
    typer.Option(
        min=1, max=10**9, metavar="N", help="Tokens of a block of hash_ids; default: the format's."
    ),
]
CharactersPerToken = Annotated[
    float,
    typer.Option(min=0.01, max=1e6, metavar="X", help="Of texts that have no token counts."),
]
To = Annotated[
    str | None,
    typer.Option(metavar="FORMAT", help="Write it as azure, vidur, mooncake or plain."),
]
Out = Annotated[
    str | None,
    typer.Option(
        "--out", "-o", metavar="FILE|-", help="Where to; gzip if it ends in .gz; - is stdout."
    ),
]


def trace(
    file: TraceFile,
    format: Format = None,  # noqa: A002  # the name of the option
    from_s: From = 0.0,
    until: Until = None,
    requests: Requests = None,
    time_scale: TimeScale = 1.0,
    repair: Repairs = "",
    block_tokens: BlockTokens = None,
    characters_per_token: CharactersPerToken = 4.0,
    to: To = None,
    out: Out = None,
    json: Json = None,
) -> None:
    """Describe the trace FILE, or a part of it; with --to and -o, write it in another format.

    Seconds count from the first request. Exit status: 0 done; 2 the trace or the call is wrong.
    """
    from apex_opt.trace.cut import Part, cut
    from apex_opt.trace.describe import describe
    from apex_opt.trace.read import read

    target = _target(to, out, json)
    part = Part(from_s, until, requests, time_scale)
    whole = read(
        file,
        format,
        repair=_repairs(repair),
        block_tokens=block_tokens,
        characters_per_token=characters_per_token,
    )
    if target is not None:
        _write(cut(whole, part), *target)
    if target is not None and json is None:
        return
    from apex_opt.cli import output

    description = describe(whole, part)
    if json is not None:
        output.write(description.model_dump_json(indent=2), json)
    if json != "-" and target is None:
        from rich.console import Console

        from apex_opt.report.trace import render

        render(description, Console(highlight=False))


def _repairs(listed: str) -> tuple[Repair, ...]:
    """Return the repairs of a list with commas.

    Raises:
        CallError: one is unknown.
    """
    from apex_opt.spec.words import name, nearest
    from apex_opt.spec.workload import REPAIRS

    known: dict[str, Repair] = {repair: repair for repair in REPAIRS}
    words = [word.strip() for word in listed.split(",") if word.strip()]
    for word in words:
        if word not in known:
            told = f"--repair: unknown {name(word)}; known are {', '.join(known)}"
            raise CallError(f"{told}{nearest(word, known)}")
    return tuple(known[word] for word in dict.fromkeys(words))


def _target(to: str | None, out: str | None, json: str | None) -> tuple[Writer, str] | None:
    """Return how and where to write the trace; None where it is only described.

    Raises:
        CallError: one of them is missing, or cannot be.
    """
    from apex_opt.trace.writers import writer

    if to is None and out is None:
        return None
    if out is None:
        raise CallError(f"--to {to} needs -o FILE, or -o - for stdout")
    if to is None:
        raise CallError(f"-o {out} needs --to FORMAT, for example --to plain")
    if out == json:
        raise CallError(f"the trace and its description cannot both go to {out}")
    try:
        return writer(to), out
    except ValueError as why:
        raise CallError(f"--to: {why}") from None


def _write(part: Trace, form: Writer, out: str) -> None:
    from apex_opt.cli import output
    from apex_opt.report.numbers import plural
    from apex_opt.trace.writers import encode, left_out, packed

    content = encode(part, form)
    output.write_bytes(packed(content) if out.endswith(".gz") else content, out)
    typer.echo(f"{plural(len(part), 'request')} written as {form.layout.name}", err=True)
    for note in (*part.notes, *form.notes, *left_out(part, form)):
        typer.echo(f"note: {note}", err=True)
