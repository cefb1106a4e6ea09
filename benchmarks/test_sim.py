"""The simulator under pytest-benchmark: `pytest benchmarks`."""

from __future__ import annotations

from dataclasses import replace

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from apex_opt.sim.fleet import play_fleet
from apex_opt.sim.member import Member
from apex_opt.sim.replica import play
from benchmarks.speed import RULES, USE, capacity_rps, poisson, steps


@pytest.mark.parametrize("n", [10_000, 100_000])
@pytest.mark.parametrize("stages", [1, 4])
def test_replica(benchmark: BenchmarkFixture, n: int, stages: int) -> None:
    load = poisson(n, USE * capacity_rps(RULES, steps(stages)))
    log = benchmark(play, load, RULES, steps(stages))
    assert log.totals.rows == load.output_tokens.sum()  # a fast wrong answer is not a result
    benchmark.extra_info["steps"] = log.totals.steps


def test_replica_short_of_blocks(benchmark: BenchmarkFixture) -> None:
    rules = replace(RULES, blocks=1100)
    load = poisson(20_000, USE * capacity_rps(rules, steps()))
    log = benchmark(play, load, rules, steps())
    assert log.totals.preemptions > 500
    benchmark.extra_info["preemptions"] = log.totals.preemptions


@pytest.mark.parametrize("threads", [1, 2])
def test_fleet(benchmark: BenchmarkFixture, threads: int) -> None:
    load = poisson(100_000, 16 * USE * capacity_rps(RULES, steps()))
    fleet = benchmark(play_fleet, load, [Member(RULES, steps(), 16, 1)], threads)
    assert fleet.log.totals.rows == load.output_tokens.sum()
