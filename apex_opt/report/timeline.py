"""What a simulated plan did over time, a line a figure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from rich.console import Console
from rich.text import Text

from apex_opt.plan.result import Moment
from apex_opt.report.layout import Section, Verbatim, section
from apex_opt.report.numbers import figure, percent, power
from apex_opt.report.sparkline import ASCII, BLOCKS, sparkline

ROWS: tuple[tuple[str, str, Callable[[float], str]], ...] = (
    ("waiting", "queue", figure),
    ("running", "running", figure),
    ("KV cache", "kv_use", percent),
    ("power", "power_w", power),
    ("prompt tokens/s", "prompt_tokens_per_s", figure),
    ("output tokens/s", "output_tokens_per_s", figure),
)
NAMES = max(len(name) for name, _, _ in ROWS)
LABEL = 10
"""Columns for the highest value of a line."""
INDENT = 2
WIDEST = 120


def timeline(moments: Sequence[Moment], duration_s: float, console: Console) -> Section:
    """Return a line for each figure, its highest value beside it, above the scale of time."""
    room = console.width - INDENT - NAMES - LABEL - 4
    width = max(min(room, WIDEST), 1)
    ramp = ASCII if console.options.ascii_only else BLOCKS
    lines = list(_lines(moments, width, ramp))
    end = f"{figure(duration_s)} s"
    drawn = len(lines[0]) - NAMES - LABEL - 4
    scale = f"{'':{NAMES}}  {'':{LABEL}}  0{end:>{max(drawn - 1, len(end) + 1)}}"
    words = "Each line reaches up to its highest value, which stands before it."
    return section("Over time", Verbatim("\n".join([*lines, scale])), Text(words))


def _lines(moments: Sequence[Moment], width: int, ramp: str) -> Iterator[str]:
    for name, field, words in ROWS:
        values = [float(getattr(moment, field)) for moment in moments]
        top = max(values)
        drawn = sparkline(values, width, top, ramp)
        yield f"{name:{NAMES}}  {words(top):>{LABEL}}  {drawn}"
