from __future__ import annotations

from typing import Any

from rich.console import Console

from apex_opt.plan.pareto_result import AxisRecord, Front, Point
from apex_opt.report.pareto import render, scatter
from tests.report.samples import band, plan, prediction


def point(x: float, y: float, text: str = "proved") -> Point:
    proved = text == "proved"
    return Point(x=x, y=y, proved=proved, bound=y, gap=0.0, text=text, plan=plan())


def front(**changes: Any) -> Front:
    doubt = "not proved: goodput may be up to 1.00% better"
    base: dict[str, Any] = {
        "apexopt_version": "0.1.0",
        "model": "llama-3.1-70b",
        "traffic": "2,000 requests",
        "seed": 0,
        "x": AxisRecord(name="cost", unit="USD/h", sense="minimize"),
        "y": AxisRecord(name="goodput", unit="requests/s", sense="maximize"),
        "sought": "goodput",
        "limited": "cost",
        "points": (point(5.0, 1.0), point(10.0, 6.0, doubt), point(20.0, 10.0)),
        "complete": False,
        "simulated": 12,
        "space": 40,
        "replicas": 6,
        "text": "2 of 3 points proved: 12 plans simulated, 40 in the space",
        "notes": ("goodput is an axis",),
        "spec": {},
        "solve_s": 1.5,
    }
    return Front(**{**base, **changes})


def lines(found: Front, **options: Any) -> list[str]:
    console = Console(width=90, color_system=None, **options)
    with console.capture() as printed:
        render(found, console)
    return printed.get().splitlines()


def test_what_is_proved_comes_first_then_a_line_a_point() -> None:
    assert lines(front(), force_terminal=False) == [
        "minimize cost (USD/h) against maximize goodput (requests/s)",
        "2 of 3 points proved: 12 plans simulated, 40 in the space",
        "llama-3.1-70b, 2,000 requests",
        "",
        "Points",
        "  point   cost   goodput   plan",
        "  " + "─" * 88,
        "  1       5.00      1.00   2 x h100 TP4 bf16   proved",
        "  2       10.0      6.00   2 x h100 TP4 bf16   not proved: goodput may be up to 1.00%",
        "                                               better",
        "  3       20.0      10.0   2 x h100 TP4 bf16   proved",
        "",
        "Notes",
        "  goodput is an axis",
    ]


def test_a_predicted_axis_has_both_ends_of_each_of_its_points_and_a_counted_one_none() -> None:
    found = prediction(goodput_rps=4.0)
    told = plan(prediction=found.model_copy(update={"band": band(found)}))
    points = tuple(one.model_copy(update={"plan": told}) for one in front().points)
    head, _, first, *_ = lines(front(points=points), force_terminal=False)[5:]
    assert head.split() == ["point", "cost", "goodput", "goodput,", "9", "in", "10", "plan"]
    # A goodput of 1 has the ends of 4, 3.2 to 6, in proportion.
    assert first.split()[:6] == ["1", "5.00", "1.00", "0.80", "to", "1.50"]


def test_a_scatter_has_its_points_where_they_belong() -> None:
    assert scatter(front(), width=16, height=4) == [
        "        10.0 |               3",
        "             |     2",
        "             |",
        "        1.00 |1",
        "             +----------------",
        "              5.00        20.0",
        "              goodput upwards, cost to the right",
    ]


def test_the_scatter_is_drawn_on_a_terminal_only_and_for_a_choice_only() -> None:
    assert "Scatter" in lines(front(), force_terminal=True)
    assert "Scatter" not in lines(front(), force_terminal=False)
    assert "Scatter" not in lines(front(points=front().points[:1]), force_terminal=True)
