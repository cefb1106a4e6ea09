"""Stories of conflicts: what they say where the usual arithmetic has nothing to say."""

import re

from apex_opt.auditing.causes import cause
from apex_opt.auditing.conflict import Found
from apex_opt.auditing.story import answer
from tests.auditing.gallery import load, make, pool, timeless


def bare(spec):
    """Return the cause of a conflict without entries: nothing within the ranges helps."""
    judge = timeless()
    return cause(judge, Found((), spec, judge.ask(spec), (), irreducible=True), spec)


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


def text_of(code, **tables):
    (found,) = answer(make(**tables), timeless()).conflicts
    assert found.code == code
    return found.text


def test_figures_of_memory_are_those_of_the_spec_and_beside_them_the_least_with_all_else_loosened():
    told = text_of(
        "memory.kv_cache",
        pools=pool(1, gigabytes=24),
        workload=load(0.001, 100_000),
        slo="",
        parallelism="tensor = 1\npipeline = 1",
    )
    whole, half = (100_032 * 32 * 2 * 8 * 128 * size / 1e9 for size in (2, 1))
    start, loose = told.split("; with all else loosened ")
    assert start.startswith(
        f"the KV cache of one request of 100,032 tokens takes {whole:.1f} GB in bf16 on each p "
        "device of 24.0 GB (TP1); "
    )
    assert loose.startswith(f"{half:.1f} GB in fp8 (TP1) and room for ")


def test_what_is_kept_free_and_what_is_taken_are_more_than_the_device_has():
    told = text_of("memory.reserve", pools=pool(1), limits="memory_reserve_fraction = 0.9")
    weights, activations, rest, total, kept = map(float, re.findall(r"([\d.]+) GB", told)[:5])
    assert (total, kept) == (80, 72)
    assert weights + activations + rest + kept > total


def test_a_drain_that_lone_requests_exceed_is_told_with_the_time_that_they_take():
    found = answer(make(pools=pool(1), slo="drain_s = 0.05"), timeless()).conflict
    told = re.fullmatch(
        r"even alone on idle devices the last requests are done ([\d.]+) s after the last arrival "
        r"at the earliest \(p TP\d+ bf16\); `slo.drain_s` asks for 0.05 s",
        found.text,
    )
    changes = [r.changes[0] for r in found.relaxations if len(r.changes) == 1]
    (number,) = [c.number for c in changes if c.entry.key == "slo.drain_s"]
    assert 0.05 < float(told[1]) <= number


def test_a_floor_is_that_of_the_spec_and_beside_it_the_least_with_all_else_loosened():
    tables = {"slo": "ttft_ms = { p99 = 1 }", "limits": "devices = 1"}
    told = text_of("slo.unreachable", pools=pool(2), **tables)
    own, loose = map(float, re.findall(r"([\d.]+) ms (?:for|with)", told))
    assert f"{own:.4g} ms for requests alone on idle devices (p TP1 bf16), {loose:.4g} ms" in told
    assert loose < own
