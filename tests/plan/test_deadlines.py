import dataclasses

import numpy as np
import pytest

from apex_opt.plan.deadlines import deadlines
from apex_opt.plan.features import FEATURES, features
from apex_opt.plan.problem import problem
from apex_opt.plan.solve import legal_candidates
from apex_opt.sim.load import Load
from apex_opt.trace.traffic import traffic
from tests.small_specs import spec

PROMPTS = np.array([10, 20, 30, 40], dtype=np.int64)
OUTPUTS = np.array([1, 5, 3, 11], dtype=np.int64)  # 0, 4, 2 and 10 are decoded
LOAD = Load(np.arange(4, dtype=np.int64), PROMPTS, OUTPUTS)
PROMPT, DECODE = FEATURES.index("prompt"), FEATURES.index("decode")


def asked(slo, span_s=2.0, requests=4):
    """Windows with the least shares of prompt and decoded tokens, rounded."""
    found = deadlines(spec(slo=slo), features(LOAD, 1000, 1), requests, span_s)
    return [
        (round(d.window_s, 6), round(d.kept[PROMPT], 6), round(d.kept[DECODE], 6)) for d in found
    ]


def test_prompts_are_due_when_the_first_token_is_but_for_the_longest_that_may_be_late():
    assert asked("ttft_ms = 500\nattainment = 1.0") == [(2.5, 1.0, 0.0)]
    assert asked("ttft_ms = 500\nattainment = 0.75") == [(2.5, 0.6, 0.0)]
    assert asked("ttft_ms = 500\nattainment = 0.01") == [(2.5, 0.1, 0.0)]


def test_requests_that_cannot_be_served_are_late_first():
    assert asked("ttft_ms = 500\nattainment = 0.8", requests=5) == [(2.5, 1.0, 0.0)]


def test_a_percentile_is_kept_by_all_up_to_the_rank_below_it():
    # Rank (4 - 1) / 2 = 1.5 lies between the second and the third: two are on time for sure.
    assert asked("ttft_ms = { p50 = 500 }") == [(2.5, 0.3, 0.0)]
    assert asked("ttft_ms = { p99 = 500 }") == [(2.5, 0.6, 0.0)]


def test_of_several_levels_that_which_asks_for_the_most_by_the_time_counts():
    assert asked("ttft_ms = { p50 = 500, p99 = 1000 }") == [(3.0, 0.6, 0.0)]
    assert asked("ttft_ms = { p50 = 500, p99 = 9000 }") == [(2.5, 0.3, 0.0)]


def test_a_level_on_the_whole_time_makes_all_work_due():
    assert asked("e2e_ms = { p99 = 1000 }") == [(3.0, 0.6, 6 / 16)]


def test_first_token_and_gaps_together_make_short_answers_due_before_long_ones():
    # At 1 s a gap the longest answer may take 10 s more, those of up to four tokens 4 s.
    slow = "ttft_ms = 500\ntpot_ms = 1000\nattainment = 1.0"
    assert asked(slow) == [(2.5, 1.0, 0.0), (12.5, 1.0, 1.0)]
    assert asked(slow, span_s=0.0) == [(0.5, 1.0, 0.0), (10.5, 1.0, 1.0)]
    # Limits on each request are missed by the same requests, percentiles by others.
    assert asked(slow.replace("1.0", "0.75"))[1] == (12.5, 0.6, 6 / 16)
    apart = "ttft_ms = { p99 = 500 }\ntpot_ms = { p99 = 1000 }"
    assert asked(apart)[1] == (12.5, 0.3, 2 / 16)


def test_means_and_gaps_of_all_tokens_make_nothing_due():
    assert asked("ttft_ms = { mean = 500 }\nitl_ms = { p99 = 50 }") == []
    assert asked("tpot_ms = 50") == []


def test_of_samples_of_one_request_nothing_is_said():
    twice = dataclasses.replace(features(LOAD, 1000, 1), samples=2)
    assert deadlines(spec(slo="ttft_ms = 500"), twice, 2, 2.0) == ()


@pytest.mark.parametrize(
    ("tables", "due"),
    [
        ({}, True),
        ({"slo": "ttft_ms = { p99 = 1000 }\ndrain_s = 0.5"}, False),  # the run ends before
        ({"objective": 'maximize = "goodput"'}, False),
        ({"slo": "drain_s = 9"}, False),
    ],
)
def test_the_fleet_is_told_what_is_due_before_the_horizon(tables, due):
    one = spec(parallelism="tensor = 1\npipeline = 1", **tables)
    offered = traffic(one.workload, one.search.seed, one.folder)
    data = problem(one, offered.load, legal_candidates(one, offered)).data
    assert all(bool(kind.due) == due for kind in data.kinds)
    for kind in data.kinds:
        # Prompts in 11 s rather than in 71 s: they press more, decoding is not asked for.
        assert all(sum(row.work) > row.late > 0 for row in kind.due)
