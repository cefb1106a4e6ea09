"""Which prompts go to which deployment, where they are routed by their length."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby

from apex_opt.plan.result import Deployment, Plan
from apex_opt.report.layout import Section, pairs, section
from apex_opt.report.numbers import percent


def classes(plan: Plan) -> Iterator[Section]:
    """Yield a line a deployment; nothing where the length of a prompt does not matter."""
    if any(deployment.class_shares for deployment in plan.deployments):
        rows = ((d.replica.label, _taken(d)) for d in plan.deployments)
        yield section("Which prompts go where, by their tokens", pairs(rows))


def _taken(deployment: Deployment) -> str:
    """Return what a deployment gets: `all up to 2,983, 95 % of those of 2,984 to 4,651`."""
    texts, low = [], 1
    for share, alike in groupby(deployment.class_shares, key=lambda one: one.share):
        high = list(alike)[-1].prompt_tokens_up_to
        if share:
            much = "all" if share == 1 else f"{percent(share)} of those"
            texts.append(f"{much} {_between(low, high)}")
        low = (high or 0) + 1
    return ", ".join(texts) or "none"


def _between(low: int, high: int | None) -> str:
    """Return a range of lengths: `up to 100`, `of 101 to 200`, `above 200`."""
    if high is None:
        return f"above {low - 1:,}" if low > 1 else "of any length"
    return f"of {low:,} to {high:,}" if low > 1 else f"up to {high:,}"
