"""What `apexopt solve` prints: the best plan, its proof, what it does, and what came next."""

from __future__ import annotations

import io
from collections.abc import Iterator

from rich.console import Console
from rich.text import Text

from apex_opt.plan.result import Result
from apex_opt.report.command import checkpoint
from apex_opt.report.layout import GOOD, QUIET, Section, section, show
from apex_opt.report.plan import deployment, headline, performance
from apex_opt.report.runners_up import rejected, runners_up, why


def render(result: Result, console: Console) -> None:
    """Print a result for people.

    Args:
        result: at least one plan.
        console: its width is kept, but for commands, which are never wrapped.
    """
    show(console, _sections(result))


def as_text(result: Result, width: int = 100) -> str:
    """Return what `render` prints, without colour, on a console of `width` columns."""
    file = io.StringIO()
    render(result, Console(file=file, width=width, color_system=None))
    return file.getvalue()


def _sections(result: Result) -> Iterator[Section]:
    best = result.plans[0]
    style = GOOD if result.proof.status == "optimal" else ""
    lines = ("\n", (result.proof.text, style), "\n", (f"{result.model}, {result.traffic}", QUIET))
    yield section(Text.assemble(headline(best), *lines))
    yield why(result)
    yield from performance(best)
    if len(result.plans) > 1:
        yield runners_up(result)
    if result.rejected:
        yield rejected(result)
    yield from deployment(best, _checkpoint(result))


def _checkpoint(result: Result) -> str:
    model = result.spec.get("model")
    return checkpoint(result.model, model.get("aliases", ()) if isinstance(model, dict) else ())
