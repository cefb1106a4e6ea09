from dataclasses import replace

import pytest

from apex_opt.solvers.fleet_alone import most
from apex_opt.solvers.fleet_data import SHARE, Due, PoolData, Seat
from apex_opt.solvers.fleet_rules import mean_power_within
from apex_opt.solvers.fleet_verify import faults, served
from tests.solvers.fleets import fleet, kind
from tests.solvers.pinned import holds

# All traffic draws 10 mW on average, of which 4 may come later; a replica draws 3 mW when idle.
WORKS = kind(power_mw=3, standing_mw=3, drawn=(Due((10,), 4),), work=((0,),))


@pytest.mark.parametrize(
    ("power_mw", "n", "share", "allowed"),
    [
        (9, 1, SHARE, True),
        (8, 1, SHARE, False),
        (12, 2, SHARE, True),
        (11, 2, SHARE, False),
        (8, 1, 900_000, True),
        (8, 1, 900_001, False),
        (None, 4, SHARE, True),
    ],
)
def test_idle_replicas_and_what_work_draws_are_within_the_limit(
    power_mw: int | None, n: int, share: int, allowed: bool
):
    data = fleet([WORKS], power_mw=power_mw, late_mw=(4,))
    assert holds(mean_power_within, data, (n,), ((share,),)) is allowed


def test_each_of_several_kinds_may_be_late_with_some_but_all_with_no_more_than_there_is():
    kinds = [WORKS, replace(WORKS, drawn=(Due((20,), 2),))]
    data = fleet(kinds, power_mw=15, late_mw=(6,))
    half = SHARE // 2
    assert holds(mean_power_within, data, (1, 1), ((half,), (half,)))  # 6 + 5 + 10 - 6
    assert not holds(mean_power_within, data, (1, 1), ((half - 1,), (half + 1,)))
    assert not holds(mean_power_within, replace(data, late_mw=(5,)), (1, 1), ((half,), (half,)))


@pytest.mark.parametrize(("power_mw", "allowed"), [(13, True), (12, False)])
def test_a_pool_counts_the_work_of_those_that_stand_nowhere_else(power_mw: int, allowed: bool):
    across = replace(WORKS, also=(Seat(1, 1, 1),))
    pools = (PoolData(1, 8, power_mw=power_mw), PoolData(1, 8))
    data = fleet([WORKS, across], pools=pools, late_mw=(4,))
    # 3 + 2 x 2 idle, and 10 - 4 of the first kind
    assert holds(mean_power_within, data, (1, 2), ((SHARE,), (SHARE,))) is allowed


def test_numbers_past_64_bits_fit_a_row():
    data = fleet(
        [replace(WORKS, drawn=(Due((10**24,), 10**21),))], power_mw=10**20, late_mw=(10**21,)
    )
    assert not holds(mean_power_within, data, (1,), ((SHARE,),))
    assert holds(mean_power_within, data, (1,), ((0,),))


@pytest.mark.parametrize(("power_mw", "number"), [(5, 0), (8, 0), (9, 1), (14, 2), (15, 3)])
def test_what_work_draws_leaves_power_for_so_many_replicas(power_mw: int, number: int):
    assert most(fleet([WORKS], power_mw=power_mw, late_mw=(4,)), 0) == number


def test_replicas_that_draw_nothing_idle_are_as_many_as_there_are_or_none():
    free = replace(WORKS, standing_mw=0, power_mw=0)
    assert most(fleet([free], power_mw=6, late_mw=(4,)), 0) == 4
    assert most(fleet([free], power_mw=5, late_mw=(4,)), 0) == 0


def test_a_pool_says_nothing_of_those_that_stand_in_others_too():
    across = replace(WORKS, also=(Seat(1, 1, 1),))
    pools = (PoolData(1, 8, power_mw=8), PoolData(1, 8))
    assert most(fleet([across], pools=pools, late_mw=(4,)), 0) == 4


def test_the_verifier_tells_power_that_is_too_little_for_idle_replicas_or_for_their_work():
    data = fleet([WORKS], power_mw=8, late_mw=(4,))
    assert served(data, (1,)) == pytest.approx(0.9)
    assert faults(data, (1,)) == ["work: at most 0.900000 of the traffic can be served"]
    late = replace(data, kinds=(replace(WORKS, power_mw=0, standing_mw=13),))
    assert faults(late, (1,)) == [
        "power_mw by time 0: 1 mW too much even if all that may be late is",
        "work: at most 0.000000 of the traffic can be served",
    ]
    pools = (PoolData(1, 8, power_mw=8), PoolData(1, 8))
    across = replace(WORKS, also=(Seat(1, 1, 1),))
    assert faults(fleet([WORKS, across], pools=pools, late_mw=(4,)), (1, 0)) == [
        "work: at most 0.900000 of the traffic can be served"
    ]
    assert faults(fleet([WORKS, across], pools=pools, late_mw=(4,)), (0, 4)) == []
