import dataclasses

import pytest

import apex_opt
from apex_opt.plan.predict import play
from apex_opt.plan.ties import CLOSE, RANKED, SPREAD, ties
from apex_opt.trace.traffic import traffic
from tests.small_specs import spec

POOLS = (
    'name = "h100"\ndevice = "h100-sxm-80gb"\nnodes = 1\n\n'
    '[[pools]]\nname = "a100"\ndevice = "a100-sxm-80gb"\nnodes = 1'
)


def asked(objective):
    return spec(objective=objective, pools=POOLS)


def played(one, wish):
    offered = traffic(one.workload, 0, one.folder)
    return play(one, offered.load, apex_opt.Choice(wish=wish).parts(one, [offered]))


def slower(plan, factor):
    """The same plan, whose requests, watts and dollars are so many times as many."""
    found = plan.prediction
    e2e = found.e2e_ms.model_copy(update={"mean": found.e2e_ms.mean * factor})
    update = {
        "e2e_ms": e2e,
        "power_mean_w": found.power_mean_w * factor,
        "cost_per_hour": found.cost_per_hour * factor,
        "goodput_rps": found.goodput_rps / factor,
    }
    return dataclasses.replace(plan, prediction=found.model_copy(update=update))


@pytest.mark.parametrize(
    "objective", ['minimize = "latency"', 'minimize = "power"', 'maximize = "goodput"']
)
def test_plans_on_the_same_devices_tie_within_what_runs_of_them_could_tell(objective):
    one = asked(objective)
    first = played(one, apex_opt.Wish(pool="h100", tensor=2, replicas=1))
    near, far = slower(first, 1 + 0.9 * CLOSE), slower(first, 1 + 1.1 * CLOSE)
    assert ties(one, [first, near, far]) == [False, True, False]


@pytest.mark.parametrize(
    ("degrees", "half_width"),
    [
        ({"tensor": 4}, CLOSE),
        ({"tensor": 8, "expert": 8}, SPREAD),
        ({"tensor": 1, "attention_data": 8}, RANKED),
        ({"tensor": 1, "attention_data": 8, "expert": 8}, RANKED),
    ],
)
def test_the_more_two_plans_split_a_model_unlike_the_further_apart_is_a_tie(degrees, half_width):
    pools = 'name = "h100"\ndevice = "h100-sxm-80gb"\nnodes = 1'
    one = spec(objective='minimize = "latency"', model='name = "mixtral-8x7b"', pools=pools)
    first = played(one, apex_opt.Wish(tensor=8, replicas=1))
    other = played(one, apex_opt.Wish(replicas=1, **degrees))
    even = first.prediction.e2e_ms.mean / other.prediction.e2e_ms.mean
    near, far = (slower(other, even * (1 + half_width * f)) for f in (0.9, 1.1))
    assert ties(one, [first, near, far]) == [False, True, False]


def test_plans_that_spread_their_cache_unlike_are_told_apart_like_ranks():
    pools = 'name = "h100"\ndevice = "h100-sxm-80gb"\nnodes = 1'
    one = spec(objective='minimize = "latency"', model='name = "deepseek-v2-lite"', pools=pools)
    first, other = (played(one, apex_opt.Wish(tensor=4, context=c, replicas=1)) for c in (1, 4))
    even = first.prediction.e2e_ms.mean / other.prediction.e2e_ms.mean
    near, far = (slower(other, even * (1 + RANKED * f)) for f in (0.9, 1.1))
    assert ties(one, [first, near, far]) == [False, True, False]


def test_plans_on_unlike_devices_tie_within_the_errors_of_both():
    one = asked('minimize = "latency"')
    first, other = (
        played(one, apex_opt.Wish(pool=pool, tensor=2, replicas=1)) for pool in ("h100", "a100")
    )
    even = first.prediction.e2e_ms.mean / other.prediction.e2e_ms.mean
    # 90th percentiles of single curves: 8 % of products, 19 to 20 % of attention and collectives.
    near, far = slower(other, even * 1.11), slower(other, even * 1.4)
    assert ties(one, [first, near, far]) == [False, True, False]


def test_unlike_plans_are_compared_less_well_by_power_than_by_time():
    by_time, by_power = asked('minimize = "latency"'), asked('minimize = "power"')
    first, other = (
        played(by_time, apex_opt.Wish(pool=pool, tensor=2, replicas=1)) for pool in ("h100", "a100")
    )
    watts = slower(other, 1.5 * first.prediction.power_mean_w / other.prediction.power_mean_w)
    late = slower(other, 1.5 * first.prediction.e2e_ms.mean / other.prediction.e2e_ms.mean)
    assert ties(by_time, [first, late]) == [False, False]
    assert ties(by_power, [first, watts]) == [False, True]


@pytest.mark.parametrize("objective", ['minimize = "cost"', 'minimize = "devices"'])
def test_what_is_counted_ties_only_if_it_is_equal(objective):
    one = spec(objective=objective, pools=POOLS + "\nprice_per_device_hour = 2.0")
    first = played(one, apex_opt.Wish(pool="a100", tensor=2, replicas=1))
    more = played(one, apex_opt.Wish(pool="a100", tensor=4, replicas=1))
    assert ties(one, [first, first, more]) == [False, True, False]


def test_a_result_says_which_plans_tie_with_its_first():
    one = spec(objective='minimize = "devices"', limits="devices = 2")
    found = apex_opt.solve(one, top_k=3)
    assert not found.plans[0].tie
    for plan in found.plans[1:]:
        assert plan.tie == (plan.devices == found.plans[0].devices)
