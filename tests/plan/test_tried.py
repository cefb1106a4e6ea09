import pytest

from apex_opt.plan.objective import GOALS
from apex_opt.plan.tried import Tried, as_good, best_of, better, rank


@pytest.mark.parametrize("goal", ["cost", "goodput"])
def test_better_means_better_by_more_than_the_tolerance(goal):
    g = GOALS[goal]
    low, high = (2.0, 1.0) if g.maximize else (1.0, 2.0)
    assert better(g, low, high)
    assert not better(g, high, low)
    assert not better(g, 1.0, 1.0 + 1e-6)
    assert as_good(g, 1.0 + 1e-6, 1.0)


def test_one_device_of_twelve_thousand_is_no_tie():
    assert better(GOALS["devices"], 12_000.0, 12_001.0)
    assert not as_good(GOALS["devices"], 12_001.0, 12_000.0)


def tried(objective, e2e_ms, missed=None):
    return Tried((1,), objective, e2e_ms, missed, None)


@pytest.mark.parametrize(
    ("goal", "worse", "best"),
    [
        ("cost", tried(1.0, 5.0, "late"), tried(2.0, 9.0)),
        ("cost", tried(2.0, 5.0), tried(1.0, 9.0)),
        ("goodput", tried(1.0, 5.0), tried(2.0, 9.0)),
        ("cost", tried(1.0, 9.0), tried(1.0 + 1e-6, 5.0)),
    ],
)
def test_of_two_ways_to_route_a_plan_the_better_of_those_that_meet_the_spec_counts(
    goal, worse, best
):
    assert best_of(GOALS[goal], [worse, best]) is best
    assert best_of(GOALS[goal], [best, worse]) is best


def test_plans_are_ranked_by_objective_and_then_by_speed():
    plans = [tried(2.0, 1.0), tried(1.0 + 1e-6, 5.0), tried(1.0, 9.0), tried(0.0, 9.0)]
    ranked = sorted(plans, key=lambda one: rank(GOALS["cost"], one))
    assert ranked == [plans[3], plans[1], plans[2], plans[0]]
    assert min(plans, key=lambda one: rank(GOALS["goodput"], one)) is plans[0]
