from apex_opt.plan.levels import Level, drain_limit_s, request_limits_ns, statistic_levels
from apex_opt.spec.goals import Percentiles, Slo


def test_a_table_limits_statistics_and_a_number_each_request():
    slo = Slo(ttft_ms=Percentiles(p50=300.0, p99=1000.0), tpot_ms=50.0)
    assert statistic_levels(slo) == (
        Level("ttft_ms", "p50", 300.0),
        Level("ttft_ms", "p99", 1000.0),
    )
    assert request_limits_ns(slo) == {"tpot_ms": 50e6}


def test_a_run_may_drain_for_a_minute_and_a_tenth_of_its_span():
    assert drain_limit_s(Slo(), 3600.0) == 420.0
    assert drain_limit_s(Slo(drain_s=5.0), 3600.0) == 5.0
