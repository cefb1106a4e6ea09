import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from apex_opt.plan.objective import GOALS
from apex_opt.plan.predict import play
from apex_opt.plan.problem import problem
from apex_opt.plan.solve import legal_candidates, parts_of
from apex_opt.trace.traffic import traffic
from benchmarks.exhaustive import plans as every_plan
from tests.plan.bounds import assert_that_bounds_hold
from tests.plan.drawn import aim, assert_that_the_best_is_found, poisson, uniform
from tests.small_specs import TABLES, TWO_POOLS, spec


def edge(asked_spec, metric, statistic, nth):
    """Return what one of the plans shows of a level, and its attainment."""
    offered = traffic(asked_spec.workload, asked_spec.search.seed, asked_spec.folder)
    asked = problem(asked_spec, offered.load, legal_candidates(asked_spec, offered))
    plans = [*every_plan(asked.data)]
    parts = parts_of(asked, plans[nth % len(plans)])
    shown = play(asked_spec, offered.load, parts).prediction
    return getattr(getattr(shown, metric), statistic), shown.attainment


EDGES = {
    "llama": {},
    "moe": {
        "model": 'name = "gpt-oss-20b"',
        "parallelism": "tensor = [1, 2]\nexpert = [1, 2]\npipeline = 1",
    },
    "latent": {"model": 'name = "deepseek-v2-lite"', "parallelism": "pipeline = [1, 2]"},
    "pools": {"pools": TWO_POOLS, "parallelism": "pipeline = 1"},
    "settings": {
        "engine": "max_num_seqs = [4, 64]\ncuda_graphs = false",
        "parallelism": "tensor = 2\npipeline = [1, 2]",
    },
}


@settings(max_examples=20, deadline=None)
@given(
    tables=st.sampled_from(sorted(EDGES)),
    objective=st.sampled_from(["cost", "devices", "latency", "energy"]),
    metric=st.sampled_from(["ttft_ms", "tpot_ms", "itl_ms", "e2e_ms"]),
    statistic=st.sampled_from(["mean", "p50", "p90", "p99"]),
    count=st.sampled_from([1, 2, 7, 100]),
    arrival=st.sampled_from(['"poisson"\nrate_rps = 30.0', '"closed"\nconcurrency = 5']),
    outputs=st.sampled_from(["1", uniform(1, 60)]),
    nth=st.integers(0, 1000),
    each=st.booleans(),
)
def test_a_plan_that_just_meets_its_level_is_found(
    tables, objective, metric, statistic, count, arrival, outputs, nth, each
):
    given_tables = EDGES[tables] | {
        "objective": f'minimize = "{objective}"',
        "workload": (
            f"arrival = {arrival}\nrequests = {count}\n"
            f"prompt_tokens = {uniform(20, 900)}\noutput_tokens = {outputs}"
        ),
    }
    limit, _ = edge(spec(**given_tables), metric, statistic, nth)
    slo = f"{metric} = {{ {statistic} = {max(limit, 1e-9)!r} }}"
    if each:
        slo = f"{metric} = {max(limit, 1e-9)!r}"
        _, share = edge(spec(**given_tables, slo=slo), metric, statistic, nth)
        assume(share > 0)
        slo += f"\nattainment = {share!r}"
    asked = spec(**given_tables, slo=slo)
    assert assert_that_the_best_is_found(asked) is not None


@pytest.mark.parametrize("objective", sorted(GOALS))
@settings(max_examples=10, deadline=None)
@given(
    rate=st.sampled_from([5.0, 100.0, 1000.0]),
    slo=st.sampled_from(
        [
            "drain_s = 0.001",
            "ttft_ms = 3000\ndrain_s = 0.001",
            "ttft_ms = 3000\ntpot_ms = 15\ndrain_s = 0.001",
            "ttft_ms = 500\nitl_ms = 200\nattainment = 0.5",
            "e2e_ms = 1500\nattainment = 0.1\ndrain_s = 1",
            "ttft_ms = { p50 = 400 }",
            "ttft_ms = { p90 = 1500 }\ntpot_ms = { p90 = 40 }",
            "ttft_ms = { p99 = 2000 }\ne2e_ms = { p50 = 1200 }",
        ]
    ),
    prompt=st.sampled_from(["6000", uniform(1, 9000)]),
    pools=st.sampled_from([TWO_POOLS, TABLES["pools"]]),
    count=st.sampled_from([1, 60]),
)
@example(
    # Overload: what counts is done long after the last arrival.
    rate=1000.0,
    slo="ttft_ms = 3000\ntpot_ms = 50\ndrain_s = 0.001",
    prompt="6000",
    pools=TWO_POOLS,
    count=60,
)
def test_no_plan_that_meets_the_spec_beats_its_bound(objective, rate, slo, prompt, pools, count):
    asked_spec = spec(
        pools=pools,
        objective=aim(objective),
        slo=slo,
        workload=poisson(rate, count, prompt, 40),
        parallelism="tensor = [1, 2]\npipeline = 1",
    )
    assert_that_bounds_hold(asked_spec)


@pytest.mark.parametrize("limit", [40, 60, 200])
@pytest.mark.parametrize("level", ["e2e_ms = {{ p99 = {} }}", "e2e_ms = {{ mean = {} }}"])
def test_requests_that_are_rejected_count_in_no_statistic_and_are_not_waited_for(level, limit):
    # TensorRT-LLM without chunks rejects prompts that are longer than a step.
    asked = spec(
        engine='name = "tensorrt-llm"\nchunked_prefill = false\nmax_num_batched_tokens = 600',
        parallelism="tensor = [1, 2]\npipeline = 1",
        slo=f"{level.format(limit)}\nattainment = 0.2\ndrain_s = {limit / 1000}",
        workload=poisson(5.0, 60, uniform(100, 2000), 4),
    )
    assert_that_bounds_hold(asked)
    assert_that_the_best_is_found(asked)


@pytest.mark.parametrize("rate", [5.0, 300.0])
@pytest.mark.parametrize(
    "levels", ["ttft_ms = { mean = 40 }", "ttft_ms = { p50 = 60 }\ntpot_ms = { p90 = 6 }"]
)
@pytest.mark.parametrize("objective", ["cost", "latency", "goodput"])
def test_what_one_replica_rejects_and_another_one_takes_is_no_work_that_must_be_done(
    objective, levels, rate
):
    asked = spec(
        engine='name = "tensorrt-llm"\nchunked_prefill = false\n'
        "max_num_batched_tokens = [300, 2100]",
        parallelism="tensor = [1, 2]\npipeline = 1",
        slo=f"{levels}\nattainment = 0.1\ndrain_s = 0.4",
        objective=aim(objective),
        workload=poisson(rate, 60, uniform(20, 2000), 4),
    )
    assert_that_bounds_hold(asked)
    assert_that_the_best_is_found(asked)
