"""The simulator under pytest-benchmark: `pytest benchmarks`."""

from __future__ import annotations

from dataclasses import replace

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from apex_opt.sim.engine import EngineRules
from apex_opt.sim.fleet import play_fleet
from apex_opt.sim.load import Load
from apex_opt.sim.member import Member, Routing
from apex_opt.sim.replica import play
from benchmarks.loads import (
    CACHING,
    OVER_NETWORK,
    RULES,
    SGLANG,
    at_random,
    grouped,
    plain,
    roles,
    sessions,
    steps,
)
from benchmarks.speed import USE, Draw, capacity_rps


def poisson(n: int, replicas: int = 1, rules: EngineRules = RULES, stages: int = 1) -> Load:
    return at_random(plain(n), replicas * USE * capacity_rps(rules, steps(stages)))


@pytest.mark.parametrize("n", [10_000, 100_000])
@pytest.mark.parametrize("stages", [1, 4])
def test_replica(benchmark: BenchmarkFixture, n: int, stages: int) -> None:
    load = poisson(n, stages=stages)
    log = benchmark(play, load, RULES, steps(stages))
    assert log.totals.rows == load.output_tokens.sum()  # a fast wrong answer is not a result
    benchmark.extra_info["steps"] = log.totals.steps


def test_replica_short_of_blocks(benchmark: BenchmarkFixture) -> None:
    rules = replace(RULES, blocks=1100)
    log = benchmark(play, poisson(20_000, rules=rules), rules, steps())
    assert log.totals.preemptions > 500
    benchmark.extra_info["preemptions"] = log.totals.preemptions


@pytest.mark.parametrize("draw", [grouped, sessions])
def test_prefix_cache(benchmark: BenchmarkFixture, draw: Draw) -> None:
    load = at_random(draw(100_000), USE * capacity_rps(CACHING, steps(), draw))
    log = benchmark(play, load, CACHING, steps())
    assert log.totals.rows == load.output_tokens.sum()
    assert log.totals.hit_tokens > 0.2 * load.prompt_tokens.sum()
    benchmark.extra_info["hit_tokens"] = log.totals.hit_tokens


def test_sglang_rules(benchmark: BenchmarkFixture) -> None:
    load = poisson(100_000, rules=SGLANG)
    log = benchmark(play, load, SGLANG, steps())
    assert log.totals.rows == load.output_tokens.sum()


@pytest.mark.parametrize("threads", [1, 2])
def test_fleet(benchmark: BenchmarkFixture, threads: int) -> None:
    load = poisson(100_000, 16)
    fleet = benchmark(play_fleet, load, [Member(RULES, steps(), 16, 1)], threads)
    assert fleet.log.totals.rows == load.output_tokens.sum()


@pytest.mark.parametrize("router", ["least_outstanding", "least_kv"])
def test_router(benchmark: BenchmarkFixture, router: str) -> None:
    load, members = poisson(100_000, 4), [Member(RULES, steps(), 4, 1)]
    fleet = benchmark(lambda: play_fleet(load, members, routing=Routing(router)))
    assert fleet.log.totals.rows == load.output_tokens.sum()


def test_disaggregation(benchmark: BenchmarkFixture) -> None:
    load = poisson(100_000, 2)
    fleet = benchmark(lambda: play_fleet(load, roles(), routing=OVER_NETWORK))
    assert fleet.log.totals.rows == load.output_tokens.sum()
