"""What `apexopt simulate` prints: a plan and what its traffic meets on it."""

from __future__ import annotations

from rich.console import Console

from apex_opt.plan.result import Plan
from apex_opt.report.layout import section, show
from apex_opt.report.plan import deployment, headline, performance
from apex_opt.report.timeline import timeline


def render_plan(plan: Plan, console: Console, model: str = "MODEL") -> None:
    """Print a simulated plan for people; on a terminal, what it did over time too.

    Args:
        plan: as simulated.
        console: its width is kept, but for commands, which are never wrapped.
        model: name on Hugging Face, or folder, of the checkpoint, for the commands.
    """
    drawn = []
    if plan.timeline and console.is_terminal:
        drawn.append(timeline(plan.timeline, plan.prediction.duration_s, console))
    parts = [section(headline(plan)), *performance(plan), *drawn, *deployment(plan, model)]
    show(console, parts)
