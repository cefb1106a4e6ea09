import numpy as np
import pytest

import apex_opt
from apex_opt.errors import InfeasibleError
from apex_opt.plan.by_hand import Wish
from apex_opt.plan.power import MOST_ROWS, counted, rows_for
from apex_opt.plan.predict import play_parts
from apex_opt.plan.problem import problem
from apex_opt.plan.simulate import Choice
from apex_opt.plan.solve import legal_candidates, parts_of, solve
from apex_opt.trace.traffic import traffic
from tests.small_specs import TABLES, spec

ONE = {"parallelism": "tensor = 1\npipeline = 1"}
H100_W = 700.0
TWO = Choice(wish=Wish(replicas=2))
POOLS = TABLES["pools"]


def played(**tables):
    """Return the spec, two replicas of one device each, and their simulation."""
    one = spec(**ONE, **tables)
    offered = traffic(one.workload, one.search.seed, one.folder)
    asked = problem(one, offered.load, legal_candidates(one, offered))
    parts = parts_of(asked, (2,))
    return one, parts, play_parts(one, offered.load, parts)


def test_without_a_window_the_peaks_of_all_replicas_count():
    one, parts, log = played(limits="power_w = 2000")
    power = counted(one, parts, log)
    assert power.total_w == pytest.approx(parts[0].idle_w + log.members[0].peak_w)
    assert power.in_pool_w(0) == power.total_w


def test_what_is_rated_is_the_cap_of_every_device_whatever_it_does():
    one, parts, log = played(limits='power_w = 2000\npower_by = "rated"')
    assert counted(one, parts, log).total_w == 2 * H100_W
    pools = POOLS + "\npower_cap_w = 400\nnode_power_w = 800\npue = 1.5"
    one, parts, log = played(limits='power_by = "rated"', pools=pools)
    assert counted(one, parts, log).total_w == pytest.approx(2 * (400 + 200) * 1.5)


def test_longer_windows_count_no_more_and_the_whole_run_counts_its_mean():
    found = []
    for window_s in (0.05, 0.5, 5.0):
        one, parts, log = played(limits=f"power_w = 2000\npower_window_s = {window_s}")
        found.append(counted(one, parts, log).total_w)
    peak_w = parts[0].idle_w + log.members[0].peak_w
    assert peak_w > found[0] > found[1] > found[2] > parts[0].idle_w
    whole_s = log.log.totals.end_ns / 1e9
    one, parts, log = played(limits=f"power_w = 2000\npower_window_s = {whole_s}")
    mean_w = parts[0].idle_w + log.members[0].energy_j / whole_s
    assert counted(one, parts, log).total_w == pytest.approx(mean_w, rel=0.15)


def test_the_energy_of_a_window_is_that_of_its_rows():
    one, parts, log = played(limits="power_w = 2000\npower_window_s = 2")
    (line,) = log.lines
    rows = int(2e9 // line.tick_ns)
    joules = np.convolve(line.tracks[:, 4], np.ones(rows), "valid").max()
    drawn = counted(one, parts, log).total_w - parts[0].idle_w
    assert drawn == pytest.approx(joules / (rows * line.tick_ns / 1e9), rel=0.01)


def test_a_window_shorter_than_the_rows_of_the_time_line_counts_the_peak():
    one, parts, log = played(limits="power_w = 2000\npower_window_s = 1e-6")
    peak = played(limits="power_w = 2000")
    assert counted(one, parts, log).total_w == counted(*peak).total_w


def test_rows_are_as_many_as_windows_ask_for_and_memory_allows():
    load = traffic(spec().workload, 0, spec().folder).load
    assert rows_for(spec(), load, 1) == 0
    fine, coarse = (
        rows_for(spec(limits=f"power_w = 900\npower_window_s = {s}"), load, 1) for s in (1, 10)
    )
    assert coarse % 2 == 0
    assert 8 * coarse < fine <= 10 * coarse
    short = spec(limits="power_w = 900\npower_window_s = 1e-6")
    assert rows_for(short, load, 100) == 2 * (MOST_ROWS // 200)


def test_a_plan_may_be_rated_for_more_than_its_limit():
    """The limit lies between what one device draws at its peak and what it is rated for."""
    peak = solve(spec(**ONE)).plans[0]
    assert peak.prediction.power_rated_w == H100_W
    limit = (peak.prediction.power_peak_w + H100_W) / 2
    fits = solve(spec(**ONE, limits=f"power_w = {limit}")).plans[0]
    assert fits.limits[0].used == pytest.approx(peak.prediction.power_peak_w)
    with pytest.raises(InfeasibleError) as caught:
        solve(spec(**ONE, limits=f'power_w = {limit}\npower_by = "rated"'))
    # Nothing is simulated: what is rated is known beforehand.
    assert str(caught.value).startswith("no plan meets the spec: no fleet within the limits")


def test_a_window_lets_a_plan_pass_that_its_peak_bars():
    free = apex_opt.play(spec(**ONE), TWO).plan.prediction
    limit = free.power_peak_w * 0.98
    pools = POOLS.replace("devices_per_node = 4", "devices_per_node = 2")
    asked = {**ONE, "pools": pools, "objective": 'minimize = "latency"', "search": "top_k = 1"}
    passes = solve(spec(**asked, limits=f"power_w = {limit}\npower_window_s = 5")).plans[0]
    assert passes.prediction.power_peak_w > limit
    assert passes.prediction.power_window_w is not None
    assert passes.prediction.power_window_w < limit
    assert passes.limits[0].used == passes.prediction.power_window_w


def test_a_pool_has_its_own_limit_over_the_window_and_is_told_with_what_it_draws():
    pools = POOLS.replace("devices_per_node = 4", "devices_per_node = 1\npower_w = 200")
    with pytest.raises(InfeasibleError) as caught:
        solve(spec(pools=pools, limits="power_window_s = 1"))
    assert "  1 x h100 TP1 bf16: peak power of pool h100 over 1 s " in str(caught.value)
    wide = solve(spec(pools=pools.replace("200", "690"), limits="power_window_s = 1")).plans[0]
    (own,) = [limit for limit in wide.limits if limit.limit == "pools.h100.power_w"]
    assert own.value == 690
    assert own.used == wide.prediction.power_window_w
