import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apex_opt.plan.awake import awake_j, covered_ns
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
    pair = awake_j(about.candidates, about.bounds, about.traffic, alone=False)
    single = awake_j(about.candidates, about.bounds, about.traffic, alone=True)
    assert min(single) > 0
    assert all(a <= b for a, b in zip(pair, single, strict=True))
    for counts in every_plan(about.data):
        used = [r for r, n in enumerate(counts) if n]
        least = min((single if len(used) == 1 else pair)[r] for r in used)
        did = play(one, load, parts_of(about, counts)).did
        assert least <= sum(totals.energy_j for totals in did)


def test_the_only_replica_of_a_quiet_hour_is_bounded_by_its_own_steps():
    # Far apart, each request is alone: all but what the bound leaves out is counted.
    workload = poisson(0.2, 20, 500, 60)
    one, load, about = asked(parallelism="tensor = 1\npipeline = 1", workload=workload)
    (joules,) = awake_j(about.candidates, about.bounds, about.traffic, alone=True)
    (did,) = play(one, load, parts_of(about, (1,))).did
    assert 0.7 * did.energy_j <= joules <= did.energy_j
    assert about.data.kinds[0].least_flow == int(joules / 20 * 1e6)


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


def test_replicas_with_a_role_may_wait_for_caches():
    apart = "tensor = 1\npipeline = 1\ndisaggregate = "
    *_, about = asked(parallelism=apart + "true")
    worth = {c.role: k.least_flow for c, k in zip(about.candidates, about.data.kinds, strict=True)}
    assert worth["mixed"] > 0
    assert (worth["prefill"], worth["decode"]) == (0, 0)
    *_, about = asked(parallelism=apart + '"only"')
    assert {kind.least_flow for kind in about.data.kinds} == {0}
