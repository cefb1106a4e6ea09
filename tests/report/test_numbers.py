from __future__ import annotations

import pytest

from apex_opt.report.numbers import count, figure, gib, money, percent, plural, power, quota

GIB = 2**30


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (0.0042, "0.0042"),
        (0.3, "0.30"),
        (1.0, "1.00"),
        (9.99, "9.99"),
        (9.999, "10.0"),
        (99.94, "99.9"),
        (99.96, "100"),
        (31415.9, "31,416"),
        (-12.34, "-12.3"),
    ],
)
def test_a_figure_has_about_three_digits(value: float, text: str) -> None:
    assert figure(value) == text


def test_a_count_of_whole_things_stays_whole() -> None:
    assert [count(8.0, "devices"), count(23.45, "ms")] == ["8 devices", "23.4 ms"]


def test_a_count_of_one_is_singular_and_a_unit_never_changes() -> None:
    told = [count(1.0, "devices"), count(1.0, "replicas"), count(1.0, "ms"), count(1, "tokens/s")]
    assert told == ["1 device", "1 replica", "1 ms", "1 tokens/s"]


@pytest.mark.parametrize(
    ("value", "text"), [(0.0, "$0.00"), (0.0042, "$0.0042"), (2.5, "$2.50"), (1e4, "$10,000.00")]
)
def test_less_than_a_cent_is_still_an_amount(value: float, text: str) -> None:
    assert money(value) == text


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (0.0, "0 %"),
        (0.0001, "< 0.1 %"),
        (0.042, "4.2 %"),
        (0.0994, "9.9 %"),
        (0.0996, "10 %"),
        (0.42, "42 %"),
        (1.0, "100 %"),
        (12.5, "1,250 %"),
    ],
)
def test_a_share_in_percent(share: float, text: str) -> None:
    assert percent(share) == text


@pytest.mark.parametrize(
    ("share", "text"), [(1.0, "100 %"), (0.9999, "> 99.9 %"), (0.9914, "99.1 %"), (0.0, "0.0 %")]
)
def test_only_all_requests_are_a_hundred_percent(share: float, text: str) -> None:
    assert quota(share) == text


@pytest.mark.parametrize(
    ("size", "text"), [(0, "0.0"), (1, "< 0.1"), (GIB // 2, "0.5"), (1500 * GIB, "1,500.0")]
)
def test_bytes_in_gib(size: int, text: str) -> None:
    assert gib(size) == text


@pytest.mark.parametrize(
    ("watts", "text"), [(5234.0, "5,234 W"), (12_345.0, "12.3 kW"), (2.5e7, "25.0 MW")]
)
def test_power_has_its_natural_unit(watts: float, text: str) -> None:
    assert power(watts) == text


def test_one_is_singular() -> None:
    assert [plural(n, "device") for n in (0, 1, 2000)] == ["0 devices", "1 device", "2,000 devices"]
