from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apex_opt.spec.workload import Phase
from apex_opt.trace.phases import piecewise

S = 10**9


def phases(*rates: tuple[float | None, float]) -> list[Phase]:
    return [Phase(until_s=until, rate_rps=rate) for until, rate in rates]


def test_each_phase_has_as_many_requests_as_its_rate_says() -> None:
    at = piecewise(phases((100, 50), (150, 0), (300, 100)), None, np.random.default_rng(0))
    counts, _ = np.histogram(at / S, [0, 100, 150, 300])
    assert counts[1] == 0
    # Poisson with means 5,000 and 15,000: within five standard deviations.
    assert abs(counts[0] - 5_000) < 5 * 5_000**0.5
    assert abs(counts[2] - 15_000) < 5 * 15_000**0.5


def test_counts_of_a_phase_vary_as_poisson_does() -> None:
    counts = [
        len(piecewise(phases((10, 4), (20, 6)), None, np.random.default_rng(seed)))
        for seed in range(400)
    ]
    # Mean and variance are 100; their standard errors are 0.5 and 7.1.
    assert np.mean(counts) == pytest.approx(100, abs=2.5)
    assert np.var(counts) == pytest.approx(100, abs=36)


def test_the_last_phase_goes_on_without_end() -> None:
    at = piecewise(phases((10, 1), (None, 100)), 1_010, np.random.default_rng(1))
    assert len(at) == 1_010
    assert at[-1] / S == pytest.approx(20, abs=2)


def test_one_phase_is_a_poisson_process_with_its_gaps() -> None:
    at = piecewise(phases((None, 8.0)), 5_000, np.random.default_rng(2))
    gaps = np.diff(at) / S
    assert gaps.mean() == pytest.approx(1 / 8, rel=0.07)
    assert gaps.std() / gaps.mean() == pytest.approx(1, abs=0.07)


@given(
    lengths=st.lists(st.floats(0.1, 50), min_size=1, max_size=5),
    rates=st.lists(st.floats(0.5, 20), min_size=6, max_size=6),
    few=st.integers(1, 30),
)
@settings(max_examples=40, deadline=None)
def test_fewer_requests_are_the_first_of_more(
    lengths: list[float], rates: list[float], few: int
) -> None:
    ends = [*np.cumsum(lengths).tolist(), None]
    asked = phases(*zip(ends, rates, strict=False))
    short, long = (piecewise(asked, n, np.random.default_rng(5)) for n in (few, 60))
    assert short.tolist() == long[:few].tolist()
    assert (np.diff(long) >= 0).all()
    assert long.dtype == np.int64


@pytest.mark.parametrize(
    ("asked", "n", "why"),
    [
        (phases((1, 1)), 1000, "1,000 requests are asked for, `phases` end after 1"),
        (phases((1e-9, 1e-9)), None, "no request arrives before the last of `phases` ends"),
        (phases((1e9, 1e3)), None, "1,000,000,000,000 requests are expected; ask for fewer"),
        (phases((1e18, 1e-12)), 5, "5 requests take more than ten years"),
    ],
)
def test_phases_that_cannot_be_are_refused(asked: list[Phase], n: int | None, why: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(why)}"):
        piecewise(asked, n, np.random.default_rng(0))
