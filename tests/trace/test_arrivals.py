from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apex_opt.trace.arrivals import LATEST_NS, arrivals

N = 200_000


def generator(seed: int = 1) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_constant_arrivals_are_evenly_spaced_and_begin_at_zero() -> None:
    at = arrivals("constant", 4, generator(), rate_rps=8.0)
    assert at.tolist() == [0, 125_000_000, 250_000_000, 375_000_000]


def test_constant_arrivals_do_not_drift() -> None:
    at = arrivals("constant", 3_000_001, generator(), rate_rps=3.0)
    assert at[3_000_000] == 10**15


def test_a_closed_loop_has_all_its_requests_at_once() -> None:
    assert arrivals("closed", 3, generator()).tolist() == [0, 0, 0]


@pytest.mark.parametrize(
    ("process", "burstiness", "deviation"),
    [("poisson", 1.0, 1.0), ("gamma", 0.25, 2.0), ("gamma", 4.0, 0.5), ("gamma", 1.0, 1.0)],
)
def test_gaps_have_the_mean_of_the_rate_and_the_spread_of_the_shape(
    process: str, burstiness: float, deviation: float
) -> None:
    """Gamma gaps of shape k deviate by 1 / sqrt(k) of their mean; five standard errors."""
    at = arrivals(process, N, generator(), rate_rps=5.0, burstiness=burstiness)
    gaps = np.diff(at) / 1e9
    assert gaps.mean() == pytest.approx(0.2, abs=5 * 0.2 * deviation / math.sqrt(N))
    assert gaps.std() / gaps.mean() == pytest.approx(deviation, rel=0.02)


def test_poisson_is_gamma_of_shape_one_whatever_the_burstiness_says() -> None:
    poisson = arrivals("poisson", 50, generator(), rate_rps=2.0, burstiness=7.0)
    assert (poisson == arrivals("gamma", 50, generator(), rate_rps=2.0)).all()


def test_traffic_of_more_than_ten_years_is_refused() -> None:
    why = "2,000 requests at 1e-09 a second take more than ten years"
    with pytest.raises(ValueError, match=f"^{why}$"):
        arrivals("constant", 2000, generator(), rate_rps=1e-9)


@settings(max_examples=50, deadline=None)
@given(
    st.sampled_from(["constant", "poisson", "gamma", "closed"]),
    st.integers(0, 200),
    st.floats(1e-3, 1e18),
    st.floats(0.1, 100.0),
    st.integers(0, 2**63 - 1),
)
def test_arrivals_are_sorted_and_the_same_for_a_seed(
    process: str, n: int, rate: float, burstiness: float, seed: int
) -> None:
    first, second = (
        arrivals(process, n, generator(seed), rate_rps=rate, burstiness=burstiness)
        for _ in range(2)
    )
    assert first.dtype == np.int64
    assert first.shape == (n,)
    assert (first == second).all()
    assert (np.diff(first) >= 0).all()
    assert not n or 0 <= first[0] <= first[-1] <= LATEST_NS
