import dataclasses
import json

import pytest

import apex_opt
from apex_opt.errors import CallError
from apex_opt.plan.capacity import Accuracy
from apex_opt.plan.capacity_result import Capacity
from tests.small_specs import spec

COARSE = Accuracy(tolerance=0.05, seeds=2)
ONE = apex_opt.Choice(wish=apex_opt.Wish(tensor=1, replicas=1))
WORKLOAD = (
    'arrival = "poisson"\nrate_rps = {rate}\nrequests = 300\n'
    "prompt_tokens = 500\noutput_tokens = 60"
)
CLOSED = 'arrival = "closed"\nconcurrency = 4\nrequests = 300\nprompt_tokens = 500\n'
NO_LEVELS = (
    "slo: capacity is how much keeps the service levels, and the spec has none; write for "
    "example `ttft_ms = { p99 = 1000 }` under [slo]"
)


def asked(rate=20.0, **tables):
    tables = {"workload": WORKLOAD.format(rate=rate), "slo": "tpot_ms = { p99 = 12 }", **tables}
    return spec(**tables)


@pytest.fixture(scope="module")
def found():
    return apex_opt.capacity(asked(), ONE, accuracy=COARSE)


def test_at_the_rate_of_a_seed_every_level_holds_and_just_above_one_does_not(found):
    for one in found.seeds:
        below, above = 20.0 * one.scale, 20.0 * one.scale * one.fails_at / one.value
        held = [
            apex_opt.simulate(asked(rate), wish=ONE.wish, seed=one.seed) for rate in (below, above)
        ]
        assert all(check.met for check in held[0].checks)
        assert not all(check.met for check in held[1].checks)
        assert one.value < one.fails_at <= 1.05 * one.value


def test_the_mean_over_the_seeds_is_told_with_its_interval(found):
    values = [one.value for one in found.seeds]
    assert [one.seed for one in found.seeds] == [0, 1]
    assert found.rate_rps == found.value == pytest.approx(sum(values) / 2)
    assert (found.concurrency, found.unit) == (None, "requests/s")
    assert found.interval.confidence == 0.95
    # t of one degree of freedom is 12.706; the deviation of two values over sqrt 2 is half of what
    # lies between them.
    half = 12.706 * abs(values[0] - values[1]) / 2
    assert found.interval.high == pytest.approx(found.value + half, rel=1e-3)
    assert found.interval.low == pytest.approx(max(found.value - half, 0.0), rel=1e-3)


def test_the_result_names_the_plan_and_reads_back(found):
    assert found.plan == "1 x h100 TP1 bf16"
    assert (found.devices, found.cost_per_hour, found.router) == (1, 2.95, "round_robin")
    data = json.loads(found.model_dump_json())
    assert data["schema_version"] == 1
    assert set(data) == set(Capacity.model_fields)
    assert Capacity.model_validate_json(found.model_dump_json()) == found


def test_the_rate_of_the_spec_does_not_matter(found):
    other = apex_opt.capacity(asked(rate=3.0), ONE, accuracy=COARSE)
    assert other.rate_rps == pytest.approx(found.rate_rps, rel=0.05)


def test_two_replicas_carry_more_than_one(found):
    wish = apex_opt.Wish(tensor=1, replicas=2)
    two = apex_opt.capacity(asked(), apex_opt.Choice(wish=wish), accuracy=COARSE)
    assert 1.5 * found.rate_rps < two.rate_rps < 2.5 * found.rate_rps


def test_a_closed_loop_is_limited_in_its_clients():
    few = asked(workload=CLOSED + "output_tokens = 60")
    found = apex_opt.capacity(few, ONE, accuracy=dataclasses.replace(COARSE, seeds=1))
    assert (found.rate_rps, found.unit, found.interval) == (None, "clients", None)
    assert found.concurrency == int(found.concurrency) == found.seeds[0].value >= 2
    assert found.seeds[0].scale == found.concurrency / 4


def test_attainment_is_a_level_even_where_goodput_is_the_aim():
    tables = {"slo": "tpot_ms = 12\nattainment = 0.9", "objective": 'maximize = "goodput"'}
    found = apex_opt.capacity(asked(**tables), ONE, accuracy=dataclasses.replace(COARSE, seeds=1))
    assert found.seeds[0].missed.startswith("attainment ")
    assert found.seeds[0].missed.endswith("% < 90.00%")


def test_levels_that_no_rate_keeps_leave_a_capacity_of_zero():
    found = apex_opt.capacity(
        asked(slo="ttft_ms = { p50 = 0.001 }"), ONE, accuracy=dataclasses.replace(COARSE, seeds=1)
    )
    assert (found.rate_rps, found.seeds[0].runs) == (0.0, 1)
    assert found.seeds[0].missed.startswith("TTFT p50 ")


def test_traffic_that_does_not_follow_the_seed_is_played_once():
    even = 'arrival = "constant"\nrate_rps = 5\nrequests = 200\nprompt_tokens = 500\n'
    found = apex_opt.capacity(asked(workload=even + "output_tokens = 60"), ONE, accuracy=COARSE)
    assert len(found.seeds) == 1
    assert found.interval is None
    assert found.notes == ("the traffic is the same with any seed: one was played",)


@pytest.mark.parametrize(
    ("tables", "accuracy", "message"),
    [
        (
            {"slo": ""},
            COARSE,
            NO_LEVELS,
        ),
        (
            {"workload": WORKLOAD.format(rate=1.0).replace("300", "1")},
            COARSE,
            "workload: all requests come at once: there is no rate to change",
        ),
        ({}, Accuracy(tolerance=0.0), "tolerance: must be from 1e-6 to below 1, got 0"),
        ({}, Accuracy(seeds=0), "seeds: must be from 1 to 1,000, got 0"),
    ],
)
def test_what_has_no_capacity_is_a_wrong_call(tables, accuracy, message):
    with pytest.raises(CallError) as caught:
        apex_opt.capacity(asked(**tables), ONE, accuracy=accuracy)
    assert str(caught.value) == message


def test_too_few_requests_show_no_limit():
    few = asked(workload=WORKLOAD.format(rate=5.0).replace("300", "4"))
    with pytest.raises(CallError) as caught:
        apex_opt.capacity(few, ONE, accuracy=COARSE)
    told = str(caught.value)
    assert told.startswith("workload.requests: 4 requests keep every level even at ")
    assert told.endswith(" a second, so that they show no limit; ask for more")
