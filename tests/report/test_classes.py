from __future__ import annotations

from rich.console import Console

from apex_opt.plan.result import ClassShare, Deployment
from apex_opt.report.classes import classes
from apex_opt.report.layout import show
from tests.report.samples import deployment, plan


def lines(*deployments: Deployment) -> list[str]:
    console = Console(width=100)
    with console.capture() as printed:
        show(console, classes(plan(deployments=deployments)))
    return [line.rstrip() for line in printed.get().splitlines()]


def split(*shares: float) -> tuple[ClassShare, ...]:
    up_to = (100, 2000, 3000, None)
    return tuple(
        ClassShare(prompt_tokens_up_to=tokens, weight=round(20 * share), share=share)
        for tokens, share in zip(up_to, shares, strict=True)
    )


def taking(*shares: float) -> Deployment:
    return deployment(1).model_copy(update={"class_shares": split(*shares)})


def test_who_gets_which_prompts_is_told_in_a_line_a_deployment() -> None:
    title, *rows = lines(taking(1, 1, 0.25, 0), taking(0, 0, 0.75, 1))
    assert title == "Which prompts go where, by their tokens"
    assert [row.split("  ")[-1] for row in rows] == [
        "all up to 2,000, 25 % of those of 2,001 to 3,000",
        "75 % of those of 2,001 to 3,000, all above 3,000",
    ]


def test_a_deployment_may_get_the_same_share_of_all_or_nothing() -> None:
    _, *rows = lines(taking(0.5, 0.5, 0.5, 0.5), taking(0, 0, 0, 0))
    assert [row.split("  ")[-1] for row in rows] == ["50 % of those of any length", "none"]


def test_nothing_is_said_where_length_does_not_matter() -> None:
    assert lines(deployment(1), deployment(2)) == []
