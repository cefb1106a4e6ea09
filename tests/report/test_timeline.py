from __future__ import annotations

import io

from rich.console import Console

from apex_opt.plan.result import Moment
from apex_opt.report.layout import show
from apex_opt.report.simulation import render_plan
from apex_opt.report.timeline import timeline
from tests.report.samples import plan


def moment(second: int) -> Moment:
    return Moment(
        time_s=float(second),
        queue=0.0,
        running=10.0 * second,
        kv_use=0.05,
        power_w=1000.0,
        prompt_tokens_per_s=2000.0 if second == 0 else 0.0,
        output_tokens_per_s=100.0 * second,
    )


MOMENTS = tuple(map(moment, range(5)))


def test_each_figure_has_a_line_under_its_highest_value() -> None:
    console = Console(width=80, file=io.StringIO(), legacy_windows=False)
    with console.capture() as printed:
        show(console, [timeline(MOMENTS, 5.0, console)])
    assert printed.get().splitlines() == [
        "Over time",
        "  waiting                   0       ",
        "  running                40.0   ▂▄▆█",
        "  KV cache              5.0 %  █████",
        "  power               1,000 W  █████",
        "  prompt tokens/s       2,000  █    ",
        "  output tokens/s         400   ▂▄▆█",
        "                               0 5.00 s",
        "  Each line reaches up to its highest value, which stands before it.",
    ]


def test_it_is_drawn_where_a_terminal_is_and_nowhere_else() -> None:
    played = plan(timeline=MOMENTS)
    for terminal in (True, False):
        file = io.StringIO()
        render_plan(played, Console(file=file, width=80, force_terminal=terminal))
        assert ("Over time" in file.getvalue()) == terminal


def test_no_line_is_wider_than_the_terminal() -> None:
    many = tuple(map(moment, range(500)))
    for width in (40, 80, 200):
        console = Console(width=width, file=io.StringIO())
        with console.capture() as printed:
            show(console, [timeline(many, 500.0, console)])
        assert max(map(len, printed.get().splitlines())) <= width
