from __future__ import annotations

import pytest

from apex_opt.plan.result import Check
from apex_opt.report.levels import level_name, room, slack, tightest
from tests.report.samples import checks, plan


def check(metric: str, limit: float, value: float, statistic: str = "p99") -> Check:
    data = {"metric": metric, "statistic": statistic, "limit": limit, "value": value, "met": True}
    return Check.model_validate(data)


@pytest.mark.parametrize(
    ("metric", "limit", "value", "left", "words"),
    [
        ("ttft_ms", 100.0, 75.0, 0.25, "25 % left"),
        ("ttft_ms", 100.0, 150.0, -0.5, "50 % over"),
        ("ttft_ms", 100.0, 100.0, 0.0, "0 % left"),
        ("attainment", 0.99, 0.9925, 0.25, "25 % left"),
        ("attainment", 0.99, 0.98, -1.0, "100 % over"),
        ("attainment", 1.0, 1.0, 0.0, "0 % left"),
        ("attainment", 1.0, 0.5, -1.0, "100 % over"),
    ],
)
def test_slack_is_the_share_of_what_may_go_wrong_that_did_not(
    metric: str, limit: float, value: float, left: float, words: str
) -> None:
    level = check(metric, limit, value)
    assert slack(level) == pytest.approx(left)
    assert room(level) == words


def test_a_latency_is_named_with_its_statistic() -> None:
    assert [level_name(level) for level in checks()] == [
        "TTFT p99",
        "TPOT p99",
        "requests completed",
        "drained after the last arrival",
    ]


def test_the_tightest_level_leaves_the_least_room() -> None:
    found = tightest(plan())
    assert found is not None
    assert found.metric == "tpot_ms"


def test_stability_is_no_level_that_somebody_asked_for() -> None:
    stable = (check("completed", 0.99, 0.99, "share"), check("drain_s", 60.0, 60.0, "end"))
    assert tightest(plan(checks=stable)) is None
