from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apex_opt.trace import describe as module
from apex_opt.trace.cut import Part
from apex_opt.trace.describe import BINS, describe, most_within, timeline
from apex_opt.trace.description import Burstiness, Description, Peak
from apex_opt.trace.read import read
from tests.trace.traces import columns

DATA = Path(os.environ.get("APEXOPT_DATA", Path(__file__).parents[3] / "shared" / "data"))
TIMES = st.lists(st.integers(0, 10**6), min_size=1, max_size=60).map(
    lambda at: np.sort(np.array(at, np.int64)) - min(at)
)


def test_rates_and_lengths_are_those_counted_by_hand() -> None:
    found = describe(columns([0, 1, 2, 12], [10, 20, 30, 40], [1, 1, 2, 4]))
    assert (found.requests, found.span_s, found.rate_rps) == (4, 12.0, 0.25)
    # Three in [0, 10), and no window of 60 s in 12 s; in any window of 1 s there is one alone.
    assert found.peaks == (
        Peak(window_s=1, rate_rps=1.0),
        Peak(window_s=10, rate_rps=0.3),
    )
    # Gaps 1, 1, 10: mean 4, variance (9 + 9 + 36) / 3 = 18, squared variation 18 / 16.
    assert found.burstiness is not None
    assert found.burstiness.gaps_cv == pytest.approx((18 / 16) ** 0.5, rel=1e-12)
    assert found.burstiness.gamma_shape == pytest.approx(16 / 18, rel=1e-12)
    assert found.prompt_tokens.model_dump() == pytest.approx(
        {"mean": 25, "p50": 25, "p90": 37, "p95": 38.5, "p99": 39.7, "max": 40}
    )
    assert found.output_tokens.mean == 2.0
    assert found.total_tokens.p50 == 26.5  # 11, 21, 32, 44
    # Sums of products of deviations: prompts -15 -5 5 15, outputs -1 -1 0 2.
    assert found.correlation == pytest.approx(50 / (500 * 6) ** 0.5, rel=1e-12)
    assert found.one_token_outputs == 0.5
    assert (found.file, found.format, found.notes) == ("t.jsonl", "plain", ())


def test_even_gaps_have_no_burstiness_and_equal_lengths_no_correlation() -> None:
    found = describe(columns([0, 1, 2]))
    assert found.burstiness == Burstiness(gaps_cv=0.0, gamma_shape=None)
    assert found.correlation is None


@pytest.mark.parametrize("at_s", [[0], [0, 0, 0]])
def test_requests_that_come_at_once_have_no_rate(at_s: list[float]) -> None:
    found = describe(columns(at_s))
    assert (found.span_s, found.rate_rps, found.burstiness) == (0.0, None, None)
    assert (found.peaks, found.timeline, found.as_synthetic) == ((), None, None)
    assert found.prompt_tokens.p99 == 10.0


def test_one_gap_says_nothing_of_how_gaps_vary() -> None:
    assert describe(columns([0, 5])).burstiness is None


def test_a_part_is_described_as_if_it_were_the_whole() -> None:
    found = describe(columns([0, 10, 11, 13]), Part(from_s=5, time_scale=2))
    assert (found.requests, found.span_s, found.rate_rps) == (3, 6.0, 1 / 3)


def test_the_timeline_counts_requests_where_they_come() -> None:
    found = timeline(np.array([0, 0, 119, 120, 239, 240], np.int64) * 10**9)
    assert found is not None
    assert found.bin_s == 1.0
    assert {i: n for i, n in enumerate(found.requests) if n} == {0: 2, 119: 1, 120: 1, 239: 2}


def test_ten_years_do_not_overflow() -> None:
    found = timeline(np.array([0, 315_360_000 * 10**9], np.int64))
    assert found is not None
    assert (found.requests[0], found.requests[-1], sum(found.requests)) == (1, 1, 2)


@given(at=TIMES, block=st.sampled_from([1, 7, 1 << 20]))
@settings(max_examples=60, deadline=None)
def test_blocks_change_nothing_and_no_request_is_lost(at: np.ndarray, block: int) -> None:
    whole = timeline(at), most_within(at, 1000)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "BLOCK", block)
        assert (timeline(at), most_within(at, 1000)) == whole
    if whole[0] is not None:
        assert sum(whole[0].requests) == len(at)
        assert len(whole[0].requests) == BINS


@given(at=TIMES, window=st.integers(1, 10**6))
@settings(max_examples=60, deadline=None)
def test_the_fullest_window_is_that_of_a_search_over_all(at: np.ndarray, window: int) -> None:
    times = at.tolist()
    slow = max(sum(begin <= t < begin + window for t in times) for begin in times)
    assert most_within(at, window) == slow


def test_json_reads_back_equal() -> None:
    found = describe(columns([0, 1, 5], [10, 30, 90], [1, 2, 50]), Part(requests=3, time_scale=2))
    assert Description.model_validate_json(found.model_dump_json()) == found


def test_the_azure_trace_has_the_lengths_that_others_counted() -> None:
    path = DATA / "traces" / "azure2023_code.csv"
    if not path.exists():
        pytest.skip(f"no trace at {path}")
    found = describe(read(path))
    assert found.requests == 8_819
    assert [round(found.prompt_tokens.mean), round(found.output_tokens.mean)] == [2048, 28]
    assert [found.prompt_tokens.p50, found.output_tokens.p50] == [1469, 13]
    assert [found.prompt_tokens.max, found.output_tokens.max] == [7437, 1899]
