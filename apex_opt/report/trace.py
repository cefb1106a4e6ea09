"""What `apexopt trace` prints: a trace in numbers, its shape, and what to type into a spec."""

from __future__ import annotations

import json
from collections.abc import Iterator

from rich.console import Console
from rich.text import Text

from apex_opt.report.layout import QUIET, Section, Verbatim, pairs, section, show, table
from apex_opt.report.numbers import figure, percent, plural
from apex_opt.report.sparkline import ASCII, BLOCKS
from apex_opt.report.workload import toml
from apex_opt.trace.description import (
    Burstiness,
    Conversations,
    Description,
    Lengths,
    Sharing,
    Timeline,
)

INDENT = 2


def render(description: Description, console: Console) -> None:
    """Print a description for people.

    Args:
        description: of a trace.
        console: its width is kept, but for tables of a spec, which are never wrapped.
    """
    show(console, _sections(description, console))


def bars(timeline: Timeline, width: int, ramp: str = BLOCKS) -> tuple[str, int]:
    """Return a character for so many bins of a timeline, and how many.

    Args:
        timeline: requests over time.
        width: the most characters.
        ramp: characters from nothing to the most.

    Returns:
        A line in which a part without a request, and no other, is blank; and the bins that a
        character stands for, a divisor of all.
    """
    bins = len(timeline.requests)
    joined = next(k for k in range(1, bins + 1) if bins % k == 0 and bins // k <= width)
    sums = [sum(timeline.requests[i : i + joined]) for i in range(0, bins, joined)]
    top = len(ramp) - 1
    most = max(sums)
    return "".join(ramp[-(-count * top // most)] for count in sums), joined


def _sections(shown: Description, console: Console) -> Iterator[Section]:
    rate = "all at once" if shown.timed else "without times"
    if shown.rate_rps is not None:
        rate = f"over {_time(shown.span_s)} ({figure(shown.rate_rps)}/s)"
    about = (f"{plural(shown.requests, 'request')} {rate}, format {shown.format}", QUIET)
    yield section(Text.assemble(shown.file, "\n", about))
    if shown.timeline is not None:
        yield _shape(shown.timeline, console)
    if shown.timed:
        yield section("Arrivals", pairs(_arrivals(shown)))
    yield _lengths(shown)
    if shown.sharing is not None:
        yield section("Shared beginnings", pairs(_sharing(shown.sharing)))
    if shown.conversations is not None:
        yield section("Sessions", pairs(_conversations(shown.conversations)))
    if shown.notes:
        yield section("Notes", *map(Text, shown.notes))
    yield _as_trace(shown)
    if shown.as_synthetic is not None:
        yield section(
            "To draw requests like these, at one mean rate",
            Verbatim(toml(shown.as_synthetic)),
        )


def _shape(timeline: Timeline, console: Console) -> Section:
    """Return the line of the rate over time, above its scale."""
    ramp = ASCII if console.options.ascii_only else BLOCKS
    line, joined = bars(timeline, max(console.width - INDENT, 1), ramp)
    span_s = timeline.bin_s * len(timeline.requests)
    width_s = joined * timeline.bin_s
    most = max(
        sum(timeline.requests[i : i + joined]) for i in range(0, len(timeline.requests), joined)
    )
    end = _time(span_s)
    scale = f"0{end:>{max(len(line) - 1, len(end) + 1)}}"
    words = f"a column is {_time(width_s)}, the highest {figure(most / width_s)} requests/s"
    return section("Rate over time", Verbatim(f"{line}\n{scale}"), Text(words))


def _arrivals(shown: Description) -> Iterator[tuple[str, str]]:
    if shown.rate_rps is None:
        yield "mean rate", "none: all requests come at once"
        return
    yield "mean rate", f"{figure(shown.rate_rps)} requests/s"
    for peak in shown.peaks:
        yield f"peak over {peak.window_s:g} s", f"{figure(peak.rate_rps)} requests/s"
    if shown.burstiness is not None:
        yield "burstiness", _burstiness(shown.burstiness)


def _burstiness(found: Burstiness) -> str:
    if found.gamma_shape is None:
        return "none: all gaps are equal"
    words = "Poisson is 1, burstier is less"
    return f"{figure(found.gamma_shape)} ({words}); variation of gaps {figure(found.gaps_cv)}"


def _lengths(shown: Description) -> Section:
    grid = table("tokens", "mean", "p50", "p90", "p95", "p99", "max")
    for name, tokens in (
        ("prompt", shown.prompt_tokens),
        ("output", shown.output_tokens),
        ("total", shown.total_tokens),
    ):
        grid.add_row(name, *_row(tokens))
    rows = [("one token", f"{percent(shown.one_token_outputs)} of the outputs")]
    if shown.correlation is not None:
        rounded = round(shown.correlation, 2) + 0.0  # no -0.00
        rows.append(("correlation", f"{rounded:.2f}, of prompt and output"))
    return section("Lengths", grid, Text(""), pairs(rows))


def _row(tokens: Lengths) -> Iterator[str]:
    for value in (tokens.mean, tokens.p50, tokens.p90, tokens.p95, tokens.p99):
        yield figure(value)
    yield f"{tokens.max:,}"


def _sharing(found: Sharing) -> Iterator[tuple[str, str]]:
    yield "beginnings", f"{found.beginnings:,}, in {percent(found.requests)} of the prompts"
    saved = percent(found.cached_tokens)
    yield "prefix cache", f"an unlimited one saves {saved} of the prompt tokens"


def _conversations(found: Conversations) -> Iterator[tuple[str, str]]:
    yield "sessions", f"{found.sessions:,}"
    yield "turns", f"{figure(found.turns)} mean, {found.most_turns:,} at most"
    yield "think time", f"{_time(found.think_s)} mean"


def _as_trace(shown: Description) -> Section:
    if shown.as_trace is not None:
        return section("To play it from a spec in this folder", Verbatim(toml(shown.as_trace)))
    if not shown.timed:
        lengths = f"lengths_from = {json.dumps(shown.file, ensure_ascii=False)}"
        return section("To draw lengths from it in a spec", Verbatim(f"[workload]\n{lengths}"))
    why = "No spec can name this file: write it first, with --to plain -o FILE"
    return section("To play it from a spec", Text(why))


def _time(seconds: float) -> str:
    """Return a time in seconds, as `--from` and `--until` take it."""
    return f"{figure(seconds)} s"
