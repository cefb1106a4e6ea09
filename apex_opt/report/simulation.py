"""What `apexopt simulate` prints: a plan and what its traffic meets on it."""

from __future__ import annotations

from rich.console import Console

from apex_opt.plan.result import Plan
from apex_opt.report.layout import section, show
from apex_opt.report.plan import deployment, headline, performance


def render_plan(plan: Plan, console: Console, model: str = "MODEL") -> None:
    """Print a simulated plan for people.

    Args:
        plan: as simulated.
        console: its width is kept, but for commands, which are never wrapped.
        model: name on Hugging Face, or folder, of the checkpoint, for the commands.
    """
    show(console, [section(headline(plan)), *performance(plan), *deployment(plan, model)])
