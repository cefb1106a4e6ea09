import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import apex_opt
from apex_opt.plan import band
from apex_opt.plan.band import first_moved
from apex_opt.plan.predict import Pace, Run, play
from apex_opt.plan.result import End, Statistics
from apex_opt.sim.replica import EndlessRunError
from apex_opt.trace.traffic import traffic
from tests.small_specs import spec

ONE = apex_opt.Wish(tensor=1, replicas=1)
LATENCIES = ("ttft_ms", "tpot_ms", "itl_ms", "e2e_ms")
LATE = (
    'arrival = "constant"\nrate_rps = {rate}\nrequests = 200\n'
    "prompt_tokens = 2000\noutput_tokens = 100"
)


def simulated(rate=1.0, **tables):
    return apex_opt.simulate(spec(workload=LATE.format(rate=rate), **tables), wish=ONE)


def half_widths(plan, figure):
    """How many times the prediction lies above its low end, and below its high one, less 1."""
    found = plan.prediction
    low, middle, high = (getattr(f, figure).mean for f in (found.band.low, found, found.band.high))
    return middle / low - 1, high / middle - 1


def stated(plan, metric):
    return next(g.half_width for g in plan.prediction.band.rests_on if g.what.startswith(metric))


def test_without_load_both_ends_are_as_far_as_runs_were():
    plan = simulated()
    for metric, figure in (("TTFT", "ttft_ms"), ("TPOT", "tpot_ms")):
        width = stated(plan, metric)
        assert half_widths(plan, figure) == pytest.approx((width, width), rel=0.06)


def test_near_saturation_first_tokens_are_known_less_well_than_steps():
    idle, full = simulated(1.0), simulated(18.0)
    assert stated(full, "TTFT") == stated(idle, "TTFT")
    assert half_widths(full, "ttft_ms")[1] > 2 * half_widths(idle, "ttft_ms")[1]


def test_every_figure_lies_between_its_ends():
    found = simulated(8.0).prediction
    for name in End.model_fields:
        low, middle, high = (getattr(f, name) for f in (found.band.low, found, found.band.high))
        if isinstance(middle, Statistics):
            for key in Statistics.model_fields:
                assert getattr(low, key) <= getattr(middle, key) <= getattr(high, key), name
        else:
            assert low <= middle <= high, name


def test_power_stays_between_idle_and_what_devices_can_draw():
    found = simulated(8.0).prediction
    low, high = found.band.low, found.band.high
    assert 85 < low.power_mean_w < found.power_mean_w < high.power_mean_w <= 700  # H100: 85 to 700
    assert high.power_peak_w == 700


def test_a_level_is_sure_where_both_ends_say_the_same():
    found = simulated().prediction.band
    middle = (found.low.ttft_ms.p99 + found.high.ttft_ms.p99) / 2

    def sure(limit):
        plan = simulated(slo=f"ttft_ms = {{ p99 = {limit} }}")
        level = next(c for c in plan.checks if c.metric == "ttft_ms")
        return level.met, level.sure

    assert sure(found.high.ttft_ms.p99 * 1.01) == (True, True)
    assert sure(middle)[1] is False
    assert sure(found.low.ttft_ms.p99 * 0.99) == (False, True)


def test_a_level_on_each_request_feels_the_error_of_first_tokens():
    found = simulated().prediction.band
    limit = found.high.ttft_ms.p99 * 0.95
    plan = simulated(slo=f"ttft_ms = {limit}\nattainment = 1.0")
    level = next(c for c in plan.checks if c.metric == "attainment")
    assert (level.met, level.sure) == (True, False)
    assert plan.prediction.band.low.attainment < plan.prediction.band.high.attainment == 1.0


def test_the_same_plan_has_the_same_band_wherever_it_is_told():
    asked = spec(workload=LATE.format(rate=2.0), limits="devices = 2")
    found = apex_opt.solve(asked, top_k=2)
    assert all(plan.prediction.band is not None for plan in found.plans)
    assert apex_opt.simulate(asked, found.plans[0]) == found.plans[0]


def test_a_plan_that_does_not_end_at_another_pace_has_no_band_and_nothing_sure(monkeypatch):
    asked = spec(workload=LATE.format(rate=1.0))
    offered = traffic(asked.workload, 0, asked.folder)
    played = play(asked, offered.load, apex_opt.Choice(wish=ONE).parts(asked, [offered]))

    def endless(*_):
        raise EndlessRunError("for ever")

    monkeypatch.setattr(band, "play_parts", endless)
    found = band.banded(asked, offered.load, played)
    assert found.prediction.band is None
    assert [c.sure for c in found.checks] == [False] * len(played.checks)


def test_first_tokens_that_come_later_delay_all_that_follow():
    log = apex_opt.play(spec(workload=LATE.format(rate=4.0)), apex_opt.Choice(wish=ONE)).log.log
    moved = first_moved(log, 1.5)
    waited = log.first_ns - log.arrival_ns
    assert np.abs(moved.first_ns - log.arrival_ns - 1.5 * waited).max() <= 0.5
    assert (moved.last_ns - moved.first_ns == log.last_ns - log.first_ns).all()


def test_what_was_rejected_is_not_moved():
    log = apex_opt.play(spec(workload=LATE.format(rate=4.0)), apex_opt.Choice(wish=ONE)).log.log
    none = dataclasses.replace(log, status=np.ones_like(log.status))
    assert (first_moved(none, 2.0).first_ns == log.first_ns).all()


@settings(max_examples=10, deadline=None)
@given(st.floats(0.3, 3))
def test_a_lone_request_takes_as_many_times_as_long_as_its_steps(factor):
    asked = spec(workload=LATE.format(rate=1.0).replace("200", "1", 1))
    offered = traffic(asked.workload, 0, asked.folder)
    parts = apex_opt.Choice(wish=ONE).parts(asked, [offered])
    usual = play(asked, offered.load, parts).prediction
    paced = play(asked, offered.load, parts, Run(paces=(Pace(factor, 1.0),))).prediction
    assert paced.tpot_ms.mean == pytest.approx(factor * usual.tpot_ms.mean, rel=1e-5)
    idle_j = 85.0  # watts of an idle H100
    above = [p.energy_j - idle_j * p.duration_s for p in (usual, paced)]
    assert above[1] == pytest.approx(factor * above[0], rel=1e-4)


def test_what_is_left_without_spare_replicas_has_a_band_of_its_own():
    two = apex_opt.Wish(tensor=1, replicas=2)
    pools = 'name = "h100"\ndevice = "h100-sxm-80gb"\nnodes = 1\nspare_replicas = 1'
    found = apex_opt.simulate(spec(workload=LATE.format(rate=2.0), pools=pools), wish=two)
    left = found.without_spares
    assert left.prediction.band.low.ttft_ms.mean > found.prediction.band.low.ttft_ms.mean
    assert all(check.sure is not None for check in left.checks)
