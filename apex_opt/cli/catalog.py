"""`apexopt catalog`: which models, devices, formats and engines are known, and what of them."""

from __future__ import annotations

import difflib
from json import dumps
from typing import TYPE_CHECKING, Annotated

import typer

from apex_opt.errors import CallError

if TYPE_CHECKING:
    from rich.console import RenderableType

    from apex_opt.spec import catalog as shelves

Kind = Annotated[
    str | None,
    typer.Argument(
        help="models, devices, weights, kv-cache or engines; default: how many of each."
    ),
]
Name = Annotated[
    str | None, typer.Argument(help="One entry, all of it; default: all, a line each.")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")]

SYNONYMS = {
    "model": "models",
    "device": "devices",
    "gpu": "devices",
    "gpus": "devices",
    "weight": "weights",
    "weight-format": "weights",
    "weight-formats": "weights",
    "kv": "kv-cache",
    "kv-caches": "kv-cache",
    "kv-format": "kv-cache",
    "kv-formats": "kv-cache",
    "engine": "engines",
}


def catalog(kind: Kind = None, name: Name = None, json: Json = False) -> None:
    """Print what the catalogue holds: its kinds, the entries of one KIND, or one entry in full."""
    from apex_opt.report import catalog as report
    from apex_opt.spec import catalog as shelves

    if kind is None:
        counts = {known: len(shelves.names(known)) for known in shelves.KINDS}
        _print(counts, report.kinds(counts), json=json)
        return
    chosen = _kind(kind)
    if name is None:
        entries = shelves.entries(chosen)
        _print(report.rows(chosen, entries), report.overview(chosen, entries), json=json)
        return
    try:
        entry = shelves.get(chosen, name)
    except shelves.UnknownNameError as fault:
        raise CallError(str(fault)) from None
    _print(report.data(entry), report.details(entry), json=json)


def _kind(word: str) -> shelves.Kind:
    """Return the kind that `word` means, in singular or plural.

    Raises:
        CallError: there is none; the text names the nearest kind, or the entry of that name.
    """
    from apex_opt.spec import catalog as shelves

    folded = shelves.fold(word)
    folded = SYNONYMS.get(folded, folded)
    for kind in shelves.KINDS:
        if folded == kind:
            return kind
    near = difflib.get_close_matches(folded, [*shelves.KINDS, *SYNONYMS], n=1)
    if near:
        meant = SYNONYMS.get(near[0], near[0])
        raise CallError(f"unknown kind `{word}`; did you mean `{meant}`?")
    for kind in shelves.KINDS:
        if shelves.knows(kind, word):
            raise CallError(f"unknown kind `{word}`; did you mean `apexopt catalog {kind} {word}`?")
    raise CallError(f"unknown kind `{word}`; known are {', '.join(shelves.KINDS)}")


def _print(data: object, table: RenderableType, *, json: bool) -> None:
    if json:
        typer.echo(dumps(data, indent=2, ensure_ascii=False))
        return
    from rich.console import Console

    Console().print(table)
