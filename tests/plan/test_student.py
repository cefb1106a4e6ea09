import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apex_opt.plan.student import central, interval, quantile


# Two-sided 95 % and 99 % points of Student's t, as in any table.
@pytest.mark.parametrize(
    ("confidence", "freedom", "expected"),
    [
        (0.95, 1, 12.706),
        (0.95, 2, 4.303),
        (0.95, 3, 3.182),
        (0.95, 4, 2.776),
        (0.95, 9, 2.262),
        (0.95, 30, 2.042),
        (0.99, 4, 4.604),
        (0.99, 5, 4.032),
    ],
)
def test_quantiles_are_those_of_the_tables(confidence, freedom, expected):
    assert quantile(confidence, freedom) == pytest.approx(expected, abs=6e-4)


@settings(max_examples=50, deadline=None)
@given(st.floats(0.01, 0.999), st.integers(1, 300))
def test_a_quantile_is_where_its_probability_is_reached(confidence, freedom):
    assert central(quantile(confidence, freedom), freedom) == pytest.approx(confidence)


def test_without_a_degree_of_freedom_there_is_none():
    with pytest.raises(ValueError, match=r"^freedom: must be at least 1, is 0$"):
        quantile(0.95, 0)


def test_an_interval_stands_around_the_mean():
    # Mean 3, standard deviation 1, of 3 values: 3 -+ 4.303 / sqrt(3).
    assert interval([2.0, 3.0, 4.0], 0.95) == pytest.approx((0.5159, 5.4841), abs=1e-4)
    assert interval([7.0, 7.0], 0.95) == (7.0, 7.0)
