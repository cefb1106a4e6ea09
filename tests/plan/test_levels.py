import pytest

from apex_opt.plan.levels import (
    Level,
    drain_limit_s,
    longest_s,
    reached,
    request_limits_ns,
    statistic_levels,
)
from apex_opt.spec.goals import Percentiles, Slo


def test_a_table_limits_statistics_and_a_number_each_request():
    slo = Slo(ttft_ms=Percentiles(p50=300.0, p99=1000.0), tpot_ms=50.0)
    assert statistic_levels(slo) == (
        Level("ttft_ms", "p50", 300.0),
        Level("ttft_ms", "p99", 1000.0),
    )
    assert request_limits_ns(slo) == {"tpot_ms": 50e6}


def test_a_run_may_drain_for_a_minute_and_a_tenth_of_its_span():
    assert drain_limit_s(Slo(), 3600.0, 1200) == 420.0
    assert drain_limit_s(Slo(drain_s=5.0), 3600.0, 1200) == 5.0


def test_a_run_has_the_time_that_its_longest_output_takes_to_read():
    assert drain_limit_s(Slo(), 0.0, 12_000) == 600.0


@pytest.mark.parametrize(
    ("kept", "sent", "least"), [(9, 10, 0.9), (99, 100, 0.99), (90_000_000, 100_000_000, 0.9)]
)
def test_a_share_is_reached_with_the_last_request_that_it_needs(kept, sent, least):
    assert reached(kept / sent, least)
    assert not reached((kept - 1) / sent, least)


@pytest.mark.parametrize(
    ("slo", "outputs", "seconds"),
    [
        (Slo(), 100, None),
        (Slo(ttft_ms=1000.0), 100, None),
        (Slo(tpot_ms=10.0), 100, None),
        (Slo(ttft_ms=1000.0), 1, 1.0),
        (Slo(ttft_ms=1000.0, tpot_ms=10.0), 101, 2.0),
        (Slo(ttft_ms=1000.0, tpot_ms=10.0, itl_ms=5.0), 101, 1.5),
        (Slo(ttft_ms=1000.0, tpot_ms=10.0, e2e_ms=1200.0), 101, 1.2),
        (Slo(ttft_ms=Percentiles(p99=1000.0), e2e_ms=900.0), 101, 0.9),
    ],
)
def test_limits_bound_the_time_of_a_request_that_meets_them(slo, outputs, seconds):
    assert longest_s(slo, outputs) == seconds
