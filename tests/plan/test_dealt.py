import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apex_opt.plan.predict import play
from apex_opt.plan.problem import problem
from apex_opt.plan.solve import legal_candidates, parts_of
from apex_opt.solvers.fleet_verify import value
from apex_opt.trace.traffic import traffic
from benchmarks.exhaustive import plans as every_plan
from tests.plan.bounds import worth_as_dealt
from tests.plan.drawn import aim, poisson, uniform
from tests.small_specs import TABLES, TWO_POOLS, spec


def asked(**tables):
    one = spec(**{"objective": aim("energy")} | tables)
    offered = traffic(one.workload, one.search.seed, one.folder)
    return one, offered.load, problem(one, offered.load, legal_candidates(one, offered))


GUESSING = 'speculation = { method = "ngram", tokens = 2, acceptance = 0.6 }'


@settings(max_examples=25, deadline=None)
@given(
    objective=st.sampled_from(["energy", "power"]),
    pools=st.sampled_from([TABLES["pools"], TWO_POOLS]),
    parallelism=st.sampled_from(["tensor = [1, 2]\npipeline = 1", "pipeline = [1, 2]"]),
    engine=st.sampled_from(
        [
            "",
            'name = "sglang"',
            "prefix_caching = true",
            "num_gpu_blocks = 300\nmax_num_seqs = 16",
            GUESSING,
        ]
    ),
    rate=st.sampled_from([0.5, 5.0, 40.0, 200.0]),
    prompt=st.sampled_from([20, uniform(50, 2000)]),
    output=st.sampled_from([1, 3, 60]),
)
def test_no_plan_takes_less_than_its_replicas_do_with_the_requests_that_they_are_dealt(
    objective, pools, parallelism, engine, rate, prompt, output
):
    one, load, about = asked(
        objective=aim(objective),
        pools=pools,
        parallelism=parallelism,
        engine=engine,
        quantization='weights = ["bf16", "fp8"]',
        workload=poisson(rate, 40, prompt, output),
        search="max_deployments = 2",
    )
    assert about.known is not None
    for counts in every_plan(about.data):
        found = play(one, load, parts_of(about, counts)).prediction
        if found.duration_s <= about.traffic.horizon_s:
            bound = about.in_units(float(worth_as_dealt(about, counts)))
            assert bound <= about.goal.value(found, 0) * (1 + 1e-9)


def test_of_several_replicas_each_counts_for_the_time_of_its_own_requests():
    # Four busy replicas: that somebody is served says of one of them what this says of all.
    workload = poisson(40.0, 400, 500, 200)
    one, load, about = asked(parallelism="tensor = 1\npipeline = 1", workload=workload)
    found = play(one, load, parts_of(about, (4,))).prediction.energy_j_per_request * 1e6
    assert worth_as_dealt(about, (4,)) > 1.8 * value(about.data, (4,))
    assert 0.6 * found <= worth_as_dealt(about, (4,)) <= found


def test_more_replicas_of_a_kind_take_more():
    *_, about = asked(parallelism="tensor = 1\npipeline = 1")
    each = [about.known((n,)) for n in (1, 2, 3, 4)]
    assert each == sorted(each)


ROUTED = '[routing]\nrouter = "least_outstanding"'
CLOSED = (
    'arrival = "closed"\nconcurrency = 3\nrequests = 9\nprompt_tokens = 500\noutput_tokens = 60'
)


@pytest.mark.parametrize(
    "tables",
    [
        {"more": ROUTED},
        {"more": "[routing]\nby_class = true"},
        {"workload": CLOSED},
        {"workload": poisson(5.0, 20, 500, 60) + "\nsamples = 2"},
        {"objective": aim("cost")},
        {"objective": aim("goodput")},
    ],
)
def test_where_it_is_not_known_who_gets_which_request_nothing_is(tables):
    *_, about = asked(**tables)
    assert about.known is None


def test_replicas_that_depend_on_each_other_are_bounded_by_the_data_alone():
    *_, about = asked(parallelism="tensor = 1\npipeline = 1\ndisaggregate = true")
    known = {
        tuple(about.candidates[r].role for r, n in enumerate(counts) if n): about.known(counts)
        for counts in every_plan(about.data)
    }
    assert {roles: joules > 0 for roles, joules in known.items()} == {
        ("mixed",): True,
        ("prefill", "decode"): False,
    }
