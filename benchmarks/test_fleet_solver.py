"""How long the fleet model takes: 60 kinds of replica in 4 pools, up to 12,288 devices.

    python -m pytest benchmarks/test_fleet_solver.py --benchmark-only

Kinds are drawn as plans differ in practice: tensor degrees of 1 to 8, 1 or 2 stages, formats and
settings; larger groups are dearer for the work they do, and kinds are better at some features than
at others.
"""

from __future__ import annotations

import random

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from apex_opt.solvers.fleet import Answer, FleetModel
from apex_opt.solvers.fleet_data import HORIZON, FleetData, Kind, PoolData
from apex_opt.solvers.fleet_space import space
from apex_opt.solvers.fleet_verify import faults

FEATURES = 7
RESOURCES = 6
DEVICE_U = (2_500_000, 1_800_000, 4_000_000, 900_000)
DEVICE_SPEED = (1.0, 0.65, 1.9, 0.3)
LOSS_PER_DOUBLING = 0.93
ALL_BUT_MILLIONTHS = ("work: at most 0.99999", "work: at most 1.000000")


def fleet(devices: int, seed: int) -> FleetData:
    """Return traffic that a fifth of the devices carries, at least cost."""
    rng = random.Random(seed)
    nodes = devices // 8 // len(DEVICE_U)
    kinds = tuple(_kind(rng, r % len(DEVICE_U), nodes, devices) for r in range(60))
    return FleetData(
        pools=(PoolData(nodes, 8),) * len(DEVICE_U), kinds=kinds, features=FEATURES, max_kinds=3
    )


def _kind(rng: random.Random, pool: int, nodes: int, devices: int) -> Kind:
    doublings, groups = rng.randrange(4), rng.choice((1, 1, 2))
    each = 2**doublings * groups
    speed = DEVICE_SPEED[pool] * each * LOSS_PER_DOUBLING**doublings * rng.uniform(0.8, 1.0)
    return Kind(
        pool=pool,
        group_devices=2**doublings,
        groups=groups,
        max_count=nodes * 8 // each,
        price_u=DEVICE_U[pool] * each,
        power_mw=700_000 * each,
        work=tuple(_row(rng, devices / 5 / speed) for _ in range(RESOURCES)),
        fixed=DEVICE_U[pool] * each,
        flow=(0,) * FEATURES,
    )


def _row(rng: random.Random, busy: float) -> tuple[int, ...]:
    """Return work that adds up to `busy` horizons."""
    parts = [rng.uniform(0.05, 1.0) for _ in range(FEATURES)]
    return tuple(int(HORIZON * busy * part / sum(parts)) for part in parts)


@pytest.mark.parametrize("devices", [64, 512, 4096, 12_288])
def test_solve(benchmark: BenchmarkFixture, devices: int) -> None:
    data = fleet(devices, seed=0)

    answer = benchmark.pedantic(lambda: FleetModel(data).solve(time_limit_s=60.0), rounds=3)
    assert answer.status == "optimal"
    assert answer.counts is not None
    # The model may overrate a plan by millionths; a wrong plan would fail by more.
    wrong = faults(data, answer.counts)
    assert all(fault.startswith(ALL_BUT_MILLIONTHS) for fault in wrong)
    benchmark.extra_info["objective"] = answer.objective


def test_ten_best_plans(benchmark: BenchmarkFixture) -> None:
    data = fleet(512, seed=0)

    def ten() -> list[Answer]:
        model, answers = FleetModel(data), list[Answer]()
        for _ in range(10):
            answers.append(model.solve(time_limit_s=60.0))
            model.cut(answers[-1].counts or ())
        return answers

    answers = benchmark.pedantic(ten, rounds=1)
    assert len({answer.counts for answer in answers}) == len(answers)
    bounds = [answer.bound or 0 for answer in answers]
    assert bounds == sorted(bounds)


@pytest.mark.parametrize("devices", [512, 12_288])
def test_space(benchmark: BenchmarkFixture, devices: int) -> None:
    count = benchmark(space, fleet(devices, seed=0))
    assert count > devices**3
