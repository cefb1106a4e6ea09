import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apex_opt.plan.awake import awake, covered_ns
from apex_opt.plan.optimistic import value
from apex_opt.plan.predict import play
from apex_opt.plan.problem import problem
from apex_opt.plan.solve import legal_candidates, parts_of
from apex_opt.trace.traffic import traffic
from benchmarks.exhaustive import plans as every_plan
from tests.plan.drawn import aim, poisson, uniform
from tests.small_specs import TABLES, TWO_POOLS, spec


@pytest.mark.parametrize(
    ("intervals", "length"),
    [
        ([(0, 3)], 3),
        ([(0, 3), (5, 6)], 4),
        ([(2, 6), (0, 3)], 6),
        ([(0, 9), (1, 2), (3, 4), (8, 10)], 10),
        ([(0, 1), (5, 4), (6, 7)], 2),
    ],
)
def test_moments_that_several_intervals_cover_count_once(intervals, length):
    begin, end = np.array(intervals, np.float64).T
    assert covered_ns(begin, end) == length


def asked(**tables):
    one = spec(**{"objective": aim("energy")} | tables)
    offered = traffic(one.workload, one.search.seed, one.folder)
    return one, offered.load, problem(one, offered.load, legal_candidates(one, offered))


@settings(max_examples=15, deadline=None)
@given(
    pools=st.sampled_from([TABLES["pools"], TWO_POOLS]),
    parallelism=st.sampled_from(["tensor = [1, 2]\npipeline = 1", "pipeline = [1, 2]"]),
    engine=st.sampled_from(["", 'name = "sglang"', "prefix_caching = true"]),
    rate=st.sampled_from([0.5, 5.0, 40.0]),
    output=st.sampled_from([1, 3, 60]),
)
def test_no_plan_takes_less_energy_than_while_somebody_is_served(
    pools, parallelism, engine, rate, output
):
    one, load, about = asked(
        pools=pools,
        parallelism=parallelism,
        engine=engine,
        quantization='weights = ["bf16", "fp8"]',
        workload=poisson(rate, 30, uniform(50, 2000), output),
        search="max_deployments = 2",
    )
    given = (about.candidates, about.bounds, about.traffic)
    pair, single = awake(*given, alone=False), awake(*given, alone=True)
    lasting = awake(*given, alone=False, lasting=True)
    assert min(a.least_j for a in single) > 0
    totals, horizon_s = about.traffic.features.totals, about.traffic.horizon_s
    for counts in every_plan(about.data):
        used = [r for r, n in enumerate(counts) if n]
        played = play(one, load, parts_of(about, counts))
        drawn_j = sum(done.energy_j for done in played.did)
        for found in [pair, single] if len(used) == 1 else [pair]:
            more = min(value(found[r].beyond_j, totals) for r in used)
            assert min(found[r].least_j for r in used) + more <= drawn_j
        if played.prediction.duration_s <= horizon_s:
            more = min(value(lasting[r].beyond_j, totals) for r in used)
            least_w = (min(lasting[r].least_j for r in used) + more) / horizon_s
            assert least_w <= drawn_j / played.prediction.duration_s


def test_the_only_replica_of_a_quiet_hour_is_bounded_by_its_own_steps():
    # Far apart, each request is alone: all but what the bound leaves out is counted.
    workload = poisson(0.2, 20, 500, 60)
    one, load, about = asked(parallelism="tensor = 1\npipeline = 1", workload=workload)
    (found,) = awake(about.candidates, about.bounds, about.traffic, alone=True)
    (did,) = play(one, load, parts_of(about, (1,))).did
    joules = found.least_j + value(found.beyond_j, about.traffic.features.totals)
    assert 0.7 * did.energy_j <= joules <= did.energy_j
    assert about.data.kinds[0].least_flow == int(found.least_j / 20 * 1e6)


def test_what_is_beyond_is_added_to_the_time_in_which_anybody_is_served():
    # Batches of a dozen: a part of the least power and what is beyond say more than either bound.
    workload = poisson(40.0, 200, 500, 60)
    one, load, about = asked(parallelism="tensor = 1\npipeline = 1", workload=workload)
    (kind,) = about.data.kinds
    (did,) = play(one, load, parts_of(about, (1,))).did
    drawn = did.energy_j / 200 * 1e6
    both = kind.least_flow + sum(kind.beyond)
    assert both > 1.15 * max(kind.least_flow, sum(kind.flow))
    assert 0.6 * drawn <= both <= drawn


def test_mean_power_is_no_less_for_a_run_that_drains_slowly():
    # The run may drain for a minute; whatever it takes, somebody is served till its end.
    workload = poisson(5.0, 20, 500, 200)
    tables = {"parallelism": "tensor = 1\npipeline = 1", "workload": workload}
    one, load, about = asked(**tables, objective=aim("power"))
    (kind,) = about.data.kinds
    prediction = play(one, load, parts_of(about, (1,))).prediction
    assert about.traffic.horizon_s > 10 * prediction.duration_s
    bound_w = (kind.fixed + kind.least_flow + sum(kind.beyond)) / 1e6
    assert 0.7 * prediction.power_mean_w <= bound_w <= prediction.power_mean_w


@pytest.mark.parametrize(
    "tables",
    [
        {
            "workload": 'arrival = "closed"\nconcurrency = 3\nrequests = 9\n'
            "prompt_tokens = 500\noutput_tokens = 60"
        },
        {"objective": 'minimize = "cost"'},
        {"model": 'name = "deepseek-v2-lite"', "parallelism": "tensor = 1\nattention_data = 2"},
    ],
)
def test_where_nothing_is_known_the_flow_alone_counts(tables):
    *_, about = asked(**tables)
    assert {kind.least_flow for kind in about.data.kinds} == {0}
    assert not any(any(kind.beyond) for kind in about.data.kinds)


def test_replicas_with_a_role_may_wait_for_caches():
    apart = "tensor = 1\npipeline = 1\ndisaggregate = "
    *_, about = asked(parallelism=apart + "true")
    worth = {c.role: k.least_flow for c, k in zip(about.candidates, about.data.kinds, strict=True)}
    assert worth["mixed"] > 0
    assert (worth["prefill"], worth["decode"]) == (0, 0)
    *_, about = asked(parallelism=apart + '"only"')
    assert {kind.least_flow for kind in about.data.kinds} == {0}
    assert not any(any(kind.beyond) for kind in about.data.kinds)
