from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apex_opt.sim import metrics
from apex_opt.sim.engine import EngineRules
from apex_opt.sim.load import Load
from apex_opt.sim.log import DONE, REJECTED, Log
from apex_opt.sim.metrics import Limits
from apex_opt.sim.replica import play
from apex_opt.sim.state import BINS
from apex_opt.sim.steps import StepTable
from apex_opt.sim.totals import add

OUTPUT = np.array([1, 5, 5, 3])


def column(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


def log(gaps: Sequence[int] = ()) -> Log:
    """Three requests served, the fourth rejected."""
    counts = np.zeros(BINS, np.int64)
    for gap in gaps:
        counts[np.searchsorted(metrics.edge(np.arange(BINS + 1)), gap, side="right") - 1] += 1
    return Log(
        arrival_ns=column(0, 10, 20, 30),
        start_ns=column(0, 15, 40, -1),
        first_ns=column(100, 115, 140, -1),
        last_ns=column(100, 155, 240, -1),
        gap_ns=column(0, 10, 60, -1),
        status=np.array([DONE, DONE, DONE, REJECTED], np.int8),
        preempted=np.zeros(4, np.int32),
        gaps=counts,
        totals=add([]),
    )


def test_latencies_are_those_of_the_requests_served() -> None:
    assert metrics.queue(log()).tolist() == [0, 5, 20]
    assert metrics.ttft(log()).tolist() == [100, 105, 120]
    assert metrics.e2e(log()).tolist() == [100, 145, 220]


def test_a_request_of_one_token_has_no_time_per_output_token() -> None:
    assert metrics.tpot(log(), OUTPUT).tolist() == [10.0, 25.0]


@pytest.mark.parametrize(
    ("limits", "kept"),
    [
        (Limits(), [True, True, True, False]),
        (Limits(ttft_ns=105), [True, True, False, False]),
        (Limits(ttft_ns=104.9), [True, False, False, False]),
        (Limits(tpot_ns=10), [True, True, False, False]),
        (Limits(tpot_ns=9), [True, False, False, False]),
        (Limits(itl_ns=59), [True, True, False, False]),
        (Limits(e2e_ns=120, tpot_ns=30), [True, False, False, False]),
    ],
)
def test_a_request_meets_its_limits_or_not(limits: Limits, kept: list[bool]) -> None:
    assert metrics.met(log(), OUTPUT, limits).tolist() == kept


def test_goodput_counts_from_the_first_arrival_to_the_last_token() -> None:
    kept = metrics.met(log(), OUTPUT, Limits(ttft_ns=105))
    assert metrics.duration_ns(log()) == 240
    assert metrics.goodput_rps(log(), kept) == pytest.approx(2 / 240e-9)
    assert metrics.attainment(kept) == 0.5


def test_the_backlog_is_what_had_not_started_at_the_last_arrival() -> None:
    assert metrics.backlog(log()) == 1


def test_nothing_has_no_statistics() -> None:
    nothing = log()
    nothing = replace(
        nothing, **{f"{n}_ns": column() for n in ("arrival", "start", "first", "last", "gap")}
    )
    nothing = replace(nothing, status=np.zeros(0, np.int8))
    assert all(map(math.isnan, metrics.describe(metrics.ttft(nothing))))
    assert all(map(math.isnan, metrics.itl(nothing)))
    assert math.isnan(metrics.attainment(metrics.met(nothing, column(), Limits())))
    assert metrics.goodput_rps(nothing, np.zeros(0, np.bool_)) == 0
    assert metrics.backlog(nothing) == 0


def test_percentiles_interpolate_linearly() -> None:
    assert metrics.describe(column(*range(1, 101))) == pytest.approx(
        (50.5, 50.5, 90.1, 95.05, 99.01)
    )


def test_bins_are_at_most_a_256th_wide() -> None:
    edges = metrics.edge(np.arange(BINS + 1))
    assert edges[0] == 1
    assert edges[256 * 30] == 2.0**30
    assert (np.diff(edges) / edges[:-1]).max() == 1 / 256


def test_tokens_that_come_together_have_no_gap() -> None:
    # Three guesses that were right stand in the first bin, that of 1 ns.
    found = metrics.itl(log([1, 1, 1, 1000, 1000]))
    assert found.p50 == 0
    assert found.p99 == pytest.approx(1000, rel=1 / 256)


@given(st.lists(st.integers(2, 10**12), min_size=1, max_size=200))
@settings(max_examples=60, deadline=None)
def test_percentiles_of_gaps_are_good_to_a_bin(gaps: list[int]) -> None:
    found, exact = metrics.itl(log(gaps)), metrics.describe(np.array(gaps))
    # Where two gaps lie far apart the histogram does not interpolate between them: allow either.
    ordered = np.sort(gaps)
    for percent, value in zip(metrics.PERCENTS, found[1:], strict=True):
        rank = percent / 100 * (len(gaps) - 1)
        low, high = ordered[math.floor(rank)], ordered[math.ceil(rank)]
        assert low * (1 - 1 / 256) <= value <= high * (1 + 1 / 256)
    if len(set(gaps)) == 1:
        assert found[1:] == pytest.approx(exact[1:], rel=1 / 256)


def test_the_mean_gap_is_exact(rules: EngineRules, flat: Callable[..., StepTable]) -> None:
    load = Load(column(0, 0, 0), column(4, 9, 20), column(1, 7, 30))
    played = play(load, rules, flat())
    spans = (played.last_ns - played.first_ns).sum()
    assert metrics.itl(played).mean == spans / (6 + 29)
    assert metrics.itl(played).p50 == pytest.approx(10, rel=1 / 256)


@given(st.lists(st.integers(0, 10**12), min_size=1, max_size=40), st.booleans())
def test_percentiles_are_those_of_numpy(values, whole):
    known = np.array(values, np.int64) if whole else np.array(values) / 7
    expected = np.percentile(known, metrics.PERCENTS)
    assert metrics.percentiles(np.sort(known)).tolist() == expected.tolist()
