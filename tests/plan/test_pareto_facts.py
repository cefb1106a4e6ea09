import pytest

from apex_opt.plan.pareto_axis import AXES, roles
from apex_opt.plan.pareto_facts import Facts
from apex_opt.plan.pareto_window import Window

COST, GOODPUT = AXES["cost"], AXES["goodput"]


def test_nothing_is_known_without_facts():
    facts = Facts(GOODPUT, COST)
    assert not facts.none_better(5.0, 10.0)
    assert not facts.none_leaner(5.0, 10.0)


def test_a_point_is_optimal_once_both_questions_are_answered():
    facts = Facts(GOODPUT, COST)
    facts.add(None, 5.0)
    assert facts.none_better(5.0, 10.0)
    assert not facts.none_leaner(5.0, 10.0)  # a cheaper plan may reach 5.0 too
    facts.add(Window(COST, 10.0, strict=True), 4.0)
    assert facts.optimal(5.0, 10.0)
    assert facts.nothing_between(4.0, 10.0)
    assert not facts.nothing_between(3.0, 10.0)


def test_the_end_that_is_best_on_the_limited_axis_has_none_leaner():
    facts = Facts(GOODPUT, COST, least=3.0)
    assert facts.none_leaner(1.0, 3.0)
    assert not facts.none_leaner(1.0, 3.1)


@pytest.mark.parametrize(
    ("wide", "narrow", "covers"),
    [
        (Window(COST, 5.0), Window(COST, 5.0), True),
        (Window(COST, 5.0), Window(COST, 5.0, strict=True), True),
        (Window(COST, 5.0, strict=True), Window(COST, 5.0), False),
        (Window(COST, 5.0, strict=True), Window(COST, 4.0), True),
        (Window(COST, 4.0), Window(COST, 5.0), False),
        (Window(GOODPUT, 4.0), Window(GOODPUT, 5.0), True),
        (Window(GOODPUT, 5.0), Window(GOODPUT, 4.0), False),
    ],
)
def test_a_window_covers_what_is_better(wide, narrow, covers):
    assert wide.covers(narrow) is covers


@pytest.mark.parametrize(
    ("x", "y", "sought"),
    [
        ("cost", "goodput", "goodput"),
        ("ttft_p99", "cost", "cost"),  # no bound on a percentile, so the cost is sought
        ("latency", "cost", "latency"),
        ("energy", "tpot_p50", "energy"),
        ("power", "throughput", "throughput"),
    ],
)
def test_what_is_well_limited_is_limited_unless_the_other_has_no_bound(x, y, sought):
    assert roles(AXES[x], AXES[y])[0].name == sought
    assert roles(AXES[y], AXES[x])[0].name == sought
