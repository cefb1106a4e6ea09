import time

import pytest

from apex_opt.solvers import flow_improve
from apex_opt.solvers.flow_improve import improved
from apex_opt.solvers.flow_verify import throughput
from tests.solvers.flows import flow

# Three chains of one layer each; only 0 -> 1 -> 2 has links.
LINKS = ((0.0, 9.0, 0.0), (0.0, 0.0, 9.0), (0.0, 0.0, 0.0))
DATA = flow(layers=3, rates=((6.0,),), links=LINKS)
START = ((2, 3), (0, 1), (1, 2))


@pytest.fixture(autouse=True)
def short(monkeypatch):
    monkeypatch.setattr(flow_improve, "STEPS", 700)


def test_machines_change_places_until_their_links_carry():
    placement = improved(DATA, START, 6.0, time.monotonic() + 60)
    assert throughput(DATA, placement) == 6


def test_without_time_the_start_stays():
    assert improved(DATA, START, 6.0, time.monotonic()) == START


def test_where_nothing_can_flow_the_start_stays():
    assert improved(DATA, START, 0.0, time.monotonic() + 60) == START


def test_it_ends_where_nothing_better_is_found():
    # The limit is not reached, and no clock stops it.
    placement = improved(DATA, START, 8.0, time.monotonic() + 600)
    assert throughput(DATA, placement) == 6


def test_the_same_seed_gives_the_same_placement():
    one, other = (
        improved(flow(machines=(0,) * 5), ((0, 3),) * 5, 13.0, time.monotonic() + 60, seed=3)
        for _ in range(2)
    )
    assert one == other
