from __future__ import annotations

import math
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apex_opt.spec.checks_workload import LARGEST_TAIL, Z99
from apex_opt.spec.workload import Distribution, Empirical, Fixed, Lognormal, Uniform
from apex_opt.trace import lengths as module
from apex_opt.trace.lengths import LONGEST, lengths, shape

N = 200_000
EXAMPLES: tuple[Distribution, ...] = (
    Fixed(distribution="fixed", value=7),
    Uniform(distribution="uniform", low=3, high=900),
    Lognormal(distribution="lognormal", mean=1155, p99=4100),
    Lognormal(distribution="lognormal", mean=211, p99=900, maximum=1000),
    Empirical(distribution="empirical", values=(5, 9, 400), weights=(1, 0, 3)),
    Empirical(distribution="empirical", values=(5, 9, 400)),
)


def draw(distribution: Distribution, n: int = N, seed: int = 1) -> np.ndarray:
    return lengths(distribution, n, np.random.default_rng(seed))


def within(mean: float, deviation: float, n: int = N) -> object:
    """Five standard errors: a right sampler misses them once in two million seeds."""
    return pytest.approx(mean, abs=5 * deviation / math.sqrt(n))


def test_a_fixed_length_is_that_length() -> None:
    assert draw(EXAMPLES[0], 3).tolist() == [7, 7, 7]


def test_uniform_lengths_reach_both_bounds_and_nothing_else() -> None:
    drawn = draw(Uniform(distribution="uniform", low=4, high=6), 1000)
    assert sorted(set(drawn.tolist())) == [4, 5, 6]


def test_uniform_lengths_keep_their_mean() -> None:
    assert draw(EXAMPLES[1]).mean() == within(451.5, math.sqrt((898**2 - 1) / 12))


@pytest.mark.parametrize(("mean", "p99"), [(1155.0, 4100.0), (211.0, 900.0), (24_000.0, 60_000.0)])
def test_lognormal_lengths_keep_their_mean_and_p99(mean: float, p99: float) -> None:
    s = shape(mean, p99)
    drawn = draw(Lognormal(distribution="lognormal", mean=mean, p99=p99))
    assert drawn.mean() == within(mean, mean * math.sqrt(math.expm1(s**2)))
    # A quantile q has the standard error sqrt(q (1 - q)) / density; here, p99 s 0.0995 / 0.0267.
    assert np.percentile(drawn, 99) == within(p99, p99 * s * 0.0995 / 0.0267)


def test_lognormal_lengths_are_cut_at_the_maximum() -> None:
    drawn = draw(EXAMPLES[3])
    uncut = draw(Lognormal(distribution="lognormal", mean=211, p99=900))
    assert (drawn == np.minimum(uncut, 1000)).all()
    assert drawn.max() == 1000


def test_a_lognormal_distribution_whose_p99_is_its_mean_is_fixed() -> None:
    drawn = draw(Lognormal(distribution="lognormal", mean=100, p99=100), 5)
    assert drawn.tolist() == [100] * 5


def test_enormous_lengths_are_cut_to_the_longest() -> None:
    drawn = draw(Lognormal(distribution="lognormal", mean=1e18, p99=1e18), 2)
    assert drawn.tolist() == [LONGEST, LONGEST]


def test_empirical_lengths_have_the_weights_that_were_given() -> None:
    drawn = draw(EXAMPLES[4])
    assert sorted(set(drawn.tolist())) == [5, 400]
    assert (drawn == 400).mean() == within(0.75, math.sqrt(0.75 * 0.25))


def test_empirical_lengths_without_weights_are_equally_likely() -> None:
    drawn = draw(EXAMPLES[5])
    assert (drawn == 9).mean() == within(1 / 3, math.sqrt(2) / 3)


@given(st.floats(1.0, 1e6), st.floats(0.0, Z99))
def test_the_shape_is_the_smaller_root(mean: float, s: float) -> None:
    p99 = mean * math.exp(Z99 * s - s**2 / 2)
    assert shape(mean, min(p99, mean * LARGEST_TAIL)) == pytest.approx(s, abs=1e-6)


@pytest.mark.parametrize(
    ("mean", "p99", "times"), [(100.0, 99.0, "0.99"), (100.0, 1498.0, "14.98"), (1.0, 1e9, "1e+09")]
)
def test_a_p99_that_no_lognormal_distribution_has_is_refused(
    mean: float, p99: float, times: str
) -> None:
    why = f"p99 of a lognormal distribution is 1 to 14.97 times its mean, not {times} times"
    with pytest.raises(ValueError, match=f"^{re.escape(why)}$"):
        draw(Lognormal(distribution="lognormal", mean=mean, p99=p99))


@pytest.mark.parametrize("weights", [(1.0,), (0.0, 0.0), (1.0, 2.0, 3.0)])
def test_weights_that_do_not_fit_are_refused(weights: tuple[float, ...]) -> None:
    why = "weights: one for each of `values`, at least one above zero"
    with pytest.raises(ValueError, match=f"^{why}$"):
        draw(Empirical(distribution="empirical", values=(1, 2), weights=weights))


@pytest.mark.parametrize("distribution", EXAMPLES)
def test_a_longer_draw_begins_with_a_shorter_one(
    distribution: Distribution, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = draw(distribution, 1000)
    monkeypatch.setattr(module, "BLOCK", 64)
    assert (draw(distribution, 300) == whole[:300]).all()


@settings(max_examples=30, deadline=None)
@given(st.sampled_from(EXAMPLES), st.integers(0, 50), st.integers(0, 2**63 - 1))
def test_the_same_seed_gives_the_same_lengths(
    distribution: Distribution, n: int, seed: int
) -> None:
    first, second = draw(distribution, n, seed), draw(distribution, n, seed)
    assert first.dtype == np.int64
    assert first.shape == (n,)
    assert (first == second).all()
    assert (first >= 1).all()
