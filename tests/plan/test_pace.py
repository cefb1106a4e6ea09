import numpy as np
import pytest

from apex_opt.plan.pace import pace
from tests.small_specs import spec

DECODE = np.array([9, 0, 1, 4, 6], dtype=np.int64)


def kept(slo: str, objective: str = 'minimize = "cost"', **tables: str):
    found = pace(spec(slo=slo, objective=objective, **tables), DECODE, len(DECODE))
    return None if found is None else (found.limit_ns, found.tokens.tolist())


def test_a_limit_on_each_request_is_kept_by_the_share_that_attainment_asks_for():
    assert kept("tpot_ms = 50.0\nattainment = 0.8") == (50e6, [0, 0, 1, 4, 6])
    assert kept("tpot_ms = 50.0\nattainment = 0.81") == (50e6, DECODE.tolist())


def test_a_percentile_is_kept_by_all_but_those_that_may_be_late():
    # Of four requests with a gap three keep the median, interpolated; all but one the 90th.
    assert kept("tpot_ms = { p50 = 20.0 }") == (20e6, [0, 0, 1, 4, 0])
    assert kept("tpot_ms = { p90 = 20.0 }") == (20e6, [0, 0, 1, 4, 6])


def test_a_mean_is_kept_by_the_tokens_together():
    # Gaps of requests count alike, however many tokens they have: 4 x 9 / 20 times the limit.
    assert kept("tpot_ms = { mean = 20.0 }") == (pytest.approx(36e6), DECODE.tolist())


def test_of_several_levels_the_one_that_presses_most_counts():
    assert kept("tpot_ms = { p50 = 5.0, p90 = 20.0 }") == (5e6, [0, 0, 1, 4, 0])
    assert kept("tpot_ms = { p50 = 10.0, p90 = 20.0 }") == (20e6, [0, 0, 1, 4, 6])


def test_goodput_counts_those_alone_that_keep_the_limit():
    goodput = 'maximize = "goodput"'
    assert kept("tpot_ms = 50.0\nattainment = 0.1", goodput) == (50e6, DECODE.tolist())
    assert kept("tpot_ms = { p90 = 50.0 }\nttft_ms = 100.0", goodput) is None


def test_nobody_asks_for_a_pace_without_a_level_on_tokens():
    assert kept("ttft_ms = { p99 = 100.0 }") is None
    assert kept("tpot_ms = 50.0", 'maximize = "throughput"') is None
