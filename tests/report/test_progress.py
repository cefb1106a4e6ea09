from __future__ import annotations

import io

from rich.console import Console
from rich.progress import Progress

from apex_opt.plan.events import Event
from apex_opt.report.progress import Bar, Elapsed, progress


def shown(*events: Event, terminal: bool = True, quiet: bool = False) -> str:
    file = io.StringIO()
    console = Console(file=file, force_terminal=terminal, width=120, color_system=None)
    with progress(quiet=quiet, console=console) as listen:
        for event in events:
            listen(event)
    return file.getvalue()


def test_the_phase_its_count_and_the_best_plan_are_shown() -> None:
    text = shown(
        Event("reading traffic"), Event("simulating plans", 7, None, "1 x h100 [TP8] bf16")
    )
    assert "simulating plans: 7" in text
    assert "best: 1 x h100 [TP8] bf16" in text


def test_nothing_is_shown_where_no_terminal_is() -> None:
    assert shown(Event("simulating plans", 7), terminal=False) == ""


def test_nothing_is_shown_if_quiet() -> None:
    assert shown(Event("simulating plans", 7), quiet=True) == ""


def test_time_goes_on_after_a_phase_that_was_complete() -> None:
    now = [0.0]
    shown = Progress(console=Console(file=io.StringIO()), get_time=lambda: now[0])
    listen = Bar(shown)
    listen(Event("bounding replicas", 8, 8))
    listen(Event("simulating plans", 1))
    now[0] = 75.0
    assert Elapsed().render(shown.tasks[0]).plain == "0:01:15"


def test_a_long_plan_is_cut_to_one_line() -> None:
    text = shown(Event("simulating plans", 7, None, "1 x h100 TP8 bf16 + " * 20))
    assert "…" in text
    assert "bf16 +\n" not in text
