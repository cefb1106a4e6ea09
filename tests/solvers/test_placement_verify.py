import pytest

from apex_opt.solvers.placement_verify import faults, latency_ns, period_ns
from tests.solvers.placements import group, question

DATA = question(group(), group(pool=1, power_mw=4), stock=(1, 2), hop_ns=((0, 7), (25, 3)))
PLAN = ((0, 0, 1), (1, 1, 3), (1, 3, 5))


def test_the_period_is_the_slowest_stage_or_hop():
    assert period_ns(DATA, (PLAN,)) == 20
    assert period_ns(DATA, (((1, 0, 2), (0, 2, 3), (1, 3, 5)),)) == 25


def test_the_latency_is_all_stages_and_hops():
    assert latency_ns(DATA, PLAN) == 10 + 7 + 20 + 3 + 20


def test_a_stage_that_does_not_fit_has_no_time():
    with pytest.raises(ValueError, match=r"^group 0 cannot hold layers 0 to 4$"):
        latency_ns(DATA, ((0, 0, 5),))


def test_an_allowed_plan_has_no_faults():
    assert faults(DATA, (PLAN,)) == []


@pytest.mark.parametrize(
    ("changes", "plan", "fault"),
    [
        ({}, (), "there are 0 pipelines, asked for are 1"),
        (
            {},
            ((*PLAN[:2],),),
            "pipeline 0: its stages do not hold the 5 layers one after the other",
        ),
        ({}, (((2, 0, 5),),), "pipeline 0: a stage has no group or no layers"),
        ({}, (((0, 0, 5),),), "pipeline 0: group 0 cannot hold layers 0 to 4"),
        ({"stages": 2}, (PLAN,), "pipeline 0: 3 stages, at most 2 allowed"),
        ({"latency_ns": 59}, (PLAN,), "pipeline 0: latency 60 ns, at most 59 allowed"),
        ({"stock": (1, 1)}, (PLAN,), "pool 1: 2 devices taken, there are 1"),
        ({"power_mw": 7}, (PLAN,), "power: 8 mW taken, at most 7 allowed"),
    ],
)
def test_what_forbids_a_plan_is_told(changes, plan, fault):
    from dataclasses import replace

    assert faults(replace(DATA, **changes), plan) == [fault]
