import math

import pytest

from apex_opt.plan.likely import (
    KINDS,
    alone,
    between,
    draws_too_much,
    frugal,
    likely,
    short_of_power,
)
from apex_opt.plan.predict import play
from apex_opt.plan.problem import problem
from apex_opt.plan.solve import legal_candidates, parts_of, solve, tried
from apex_opt.trace.traffic import traffic
from tests.small_specs import TWO_POOLS, spec

MANY = {
    "pools": TWO_POOLS.replace("nodes = 1", "nodes = 12"),
    "parallelism": "tensor = [1, 2]\npipeline = [1, 2]",
    "workload": 'arrival = "poisson"\nrate_rps = 60\nrequests = 120\n'
    "prompt_tokens = 1500\noutput_tokens = 30",
}


def question(**tables):
    """A spec's question, and what simulates a plan of it."""
    one = spec(**tables)
    offered = traffic(one.workload, one.search.seed, one.folder)
    asked = problem(one, offered.load, legal_candidates(one, offered))

    def look(counts):
        return tried(one, counts, play(one, offered.load, parts_of(asked, counts)))

    return asked, look


def test_the_kinds_of_fewest_stages_are_among_those_that_may_draw_little():
    asked, _ = question(**MANY, limits="power_w = 6000")
    kinds = asked.data.kinds
    assert frugal(asked)[0] == min(
        range(len(kinds)), key=lambda r: (kinds[r].groups, kinds[r].devices, r)
    )
    assert set(likely(asked)) <= set(frugal(asked))
    assert len(likely(asked)) <= 2 * KINDS


@pytest.mark.parametrize(("power_w", "fewest"), [(1e5, True), (700, False)])
def test_halving_finds_the_fewest_that_meet_the_spec_or_ends_without(power_w, fewest):
    tables = {**MANY, "slo": "ttft_ms = { p99 = 400 }", "limits": f"power_w = {power_w:g}"}
    asked, look = question(**tables)
    r = next(r for r, c in enumerate(asked.candidates) if c.replica.label == "h100 TP1 bf16")
    found = list(between(asked, r, look))
    assert len(found) <= math.ceil(math.log2(asked.data.kinds[r].max_count + 1))
    met = [sum(one.counts) for one in found if one.missed is None]
    if fewest:
        least = next(n for n in range(1, 25) if look(alone(asked, r, n)).missed is None)
        assert min(met) == least > 1
    else:
        assert met == []


def test_a_plan_draws_too_much_of_all_power_or_of_its_pool():
    asked, look = question(**MANY, limits="power_w = 1e5")
    plan = look(alone(asked, 0, 3))
    assert not draws_too_much(asked, plan)
    for tables in (
        {**MANY, "limits": "power_w = 900"},
        MANY | {"pools": MANY["pools"].replace("nodes = 12", "nodes = 12\npower_w = 900", 1)},
    ):
        tight, again = question(**tables)
        assert draws_too_much(tight, again(alone(tight, 0, 3)))


@pytest.mark.parametrize(
    ("limits", "short"), [("", False), ("power_w = 25_300", False), ("power_w = 25_100", True)]
)
def test_power_is_short_where_not_all_devices_may_draw_what_they_are_rated_for(limits, short):
    asked, _ = question(**MANY, **({"limits": limits} if limits else {}))  # 24 x 700 + 24 x 350 W
    assert short_of_power(asked) is short


def test_power_is_short_where_it_is_in_one_pool():
    pools = MANY["pools"].replace("nodes = 12", "nodes = 12\npower_w = 16_000", 1)
    assert short_of_power(question(**MANY | {"pools": pools})[0])
    enough = pools.replace("16_000", "17_000")
    assert not short_of_power(question(**MANY | {"pools": enough})[0])


def test_a_plan_between_too_few_replicas_and_too_much_power_is_found_at_once_among_two_pools():
    tight = {**MANY, "slo": "ttft_ms = { p99 = 400 }", "limits": "power_w = 4200"}
    found = solve(spec(**tight, search="time_limit_s = 60"))
    assert found.plans[0].prediction.power_peak_w <= 4200
    assert found.proof.status == "optimal"
