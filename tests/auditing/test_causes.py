"""Stories of conflicts: what they say where the usual arithmetic has nothing to say."""

from apex_opt.auditing.causes import cause
from apex_opt.auditing.conflict import Found
from apex_opt.auditing.story import answer
from tests.auditing.gallery import load, make, pool, timeless


def bare(spec):
    """Return the cause of a conflict without entries: nothing within the ranges helps."""
    judge = timeless()
    return cause(judge, Found((), spec, judge.ask(spec), (), irreducible=True))


def test_where_nothing_helps_the_closest_plan_is_told_with_all_that_it_misses():
    tight = make(pools=pool(1), slo="itl_ms = { p99 = 1, mean = 2 }")
    code, text = bare(tight)
    gaps = timeless().ask(tight).missed[0].outcome.prediction.itl_ms
    assert code == "nothing_helps"
    assert text == (
        "with every entry at the end of its range the closest plan misses: "
        f"ITL mean {gaps.mean:.4g} ms > 2 ms and ITL p99 {gaps.p99:.4g} ms > 1 ms"
    )


def test_where_nothing_helps_and_bounds_exclude_all_that_is_told():
    assert bare(make(slo="ttft_ms = { p99 = 1 }")) == (
        "nothing_helps",
        "with every entry at the end of its range bounds exclude every plan",
    )


def test_a_share_that_bounds_exclude_is_told_with_the_most_that_can_be_kept():
    prompts = '{ distribution = "uniform", low = 400, high = 600 }'
    spec = make(
        pools=pool(8, nodes=64),
        workload=load(40, prompts),
        slo="ttft_ms = 13.5\nattainment = 0.99",
        parallelism="tensor = [4, 8]\nmax_stages = 1",
    )
    found = answer(spec, timeless()).conflict
    bounds = max(
        sum(bound.ttft_ns <= 13.5e6) / len(bound.ttft_ns)
        for bound in timeless().ask(spec).asked.bounds
    )
    assert found.text == (
        f"at most {bounds:.2%} of the requests keep `slo.ttft_ms` = 13.5 ms alone on idle devices "
        "(p TP8 bf16); `slo.attainment` = 0.99"
    )
