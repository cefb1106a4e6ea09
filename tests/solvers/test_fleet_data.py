import re

import pytest

from apex_opt.solvers.fleet_data import HORIZON, SHARE, Due, Floor, PoolData, Seat
from tests.solvers.fleets import fleet, kind


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"pool": 1}, "there is no pool 1"),
        ({"groups": 0}, "it needs at least one group of at least one device"),
        ({"group_devices": 12}, "a group of 12 takes no whole nodes of 8 devices"),
        ({"max_count": -1}, "max_count must lie in 0..1000000"),
        ({"max_count": 1_000_001}, "max_count must lie in 0..1000000"),
        ({"work": ((1, 1),)}, "flow, work and what is beyond need 1 entries a row"),
        ({"flow": ()}, "flow, work and what is beyond need 1 entries a row"),
        ({"work": ((-1,),)}, "price, power, work and objective must not be negative"),
        ({"price_u": -1}, "price, power, work and objective must not be negative"),
        ({"companions": frozenset({0})}, "its companions must be other kinds"),
        ({"companions": frozenset({7})}, "its companions must be other kinds"),
    ],
)
def test_a_kind_that_cannot_be_is_refused(changes: dict[str, object], fault: str):
    with pytest.raises(ValueError, match=f"^{re.escape(f'kind 0: {fault}')}$"):
        fleet([kind(**changes)])


MOST = {"sense": "max", "total": 1}
FLOOR_FAULT = (
    "a floor needs a slope in 0..100000000000000000, an intercept in -100000000000000000..0"
)


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"max_kinds": 0}, "max_kinds must be at least 1"),
        ({**MOST, "total": 0}, "sense `max` needs a total of at least 1"),
        ({**MOST, "goal": 1}, "goal 1 is not one of the 1 features"),
        ({**MOST, "served": ((), ())}, "served has 2 entries for 1 features"),
        (
            {**MOST, "served": ((Floor(1, 0),),)},
            "feature 0 is the objective's and can have no floor",
        ),
        ({"served": ((Floor(-1, 0),),)}, FLOOR_FAULT),
        ({"served": ((Floor(1, 1),),)}, FLOOR_FAULT),
    ],
)
def test_a_question_that_makes_no_sense_is_refused(changes: dict[str, object], fault: str):
    with pytest.raises(ValueError, match=f"^{re.escape(fault)}$"):
        fleet([kind(fixed=0)], **changes)


def test_the_most_is_not_asked_of_kinds_that_have_a_price_in_it():
    told = "kind 1: sense `max` reads no fixed and no flow; they must be 0"
    with pytest.raises(ValueError, match=f"^{told}$"):
        fleet([kind(fixed=0), kind(fixed=1)], **MOST)


def test_features_are_limited_so_that_rows_fit_64_bits():
    with pytest.raises(ValueError, match=r"^features must lie in 1..1000$"):
        fleet([], features=1001)


def test_all_faults_are_told_at_once():
    with pytest.raises(ValueError, match=r"^max_kinds .*\nkind 0: there is no pool 3$"):
        fleet([kind(pool=3)], max_kinds=0)


@pytest.mark.parametrize(
    ("seats", "fault"),
    [
        ((Seat(2, 1, 0),), "kind 0: there is no pool 2"),
        ((Seat(0, 1, 0),), "kind 0: it names a pool twice"),
        ((Seat(1, 0, 0),), "kind 0: it needs at least one group of at least one device"),
        (
            (Seat(1, 1, 2),),
            "kind 0: its groups in other pools draw more power than all of it",
        ),
    ],
)
def test_seats_in_other_pools_are_looked_at_too(seats: tuple[Seat, ...], fault: str):
    with pytest.raises(ValueError, match=f"^{re.escape(fault)}$"):
        fleet([kind(also=seats)], pools=(PoolData(1, 8), PoolData(1, 4)))


def test_a_kind_that_stands_in_two_pools_takes_of_both():
    both = kind(group_devices=2, groups=3, power_mw=10, also=(Seat(1, 2, 4),))
    data = fleet([both, kind(pool=1)], pools=(PoolData(1, 8), PoolData(1, 8)))
    assert data.members == ((0,), (0, 1))
    assert data.sizes == ((2,), (2, 1))
    assert both.devices == 10
    assert [both.devices_in(p) for p in (0, 1, 2)] == [6, 4, 0]
    assert [both.power_in(p) for p in (0, 1, 2)] == [6, 4, 0]


def test_kinds_are_grouped_by_pool_and_sizes_inside_a_node_are_named():
    kinds = [kind(group_devices=g, pool=p) for g, p in ((2, 0), (8, 1), (16, 0), (2, 0), (4, 0))]
    data = fleet(kinds, pools=(PoolData(4, 8), PoolData(4, 8)))
    assert data.members == ((0, 2, 3, 4), (1,))
    assert data.sizes == ((4, 2), (8,))
    assert [data.whole_nodes(r, 0) for r in range(5)] == [0, 0, 2, 0, 0]


def test_what_is_due_limits_the_most_that_a_kind_serves_too():
    assert fleet([kind(due=(Due((10 * HORIZON,), HORIZON),))]).most == ((SHARE // 2,),)


@pytest.mark.parametrize("row", ["due", "drawn"])
def test_nothing_is_due_where_a_share_is_maximised(row: str):
    late = (1,) if row == "drawn" else ()
    with pytest.raises(ValueError, match=r"^kind 0: sense `max` reads nothing that is due"):
        fleet([kind(fixed=0, **{row: (Due((1,), 0),)})], sense="max", total=1, late_mw=late)


def test_all_kinds_tell_what_they_draw_by_the_same_times():
    fault = r"^all kinds need as many rows of what is drawn, as `late_mw` has$"
    with pytest.raises(ValueError, match=fault):
        fleet([kind(drawn=(Due((1,), 0),)), kind()], late_mw=(1,))
    with pytest.raises(ValueError, match=fault):
        fleet([kind(drawn=(Due((1,), 0),))])


def test_what_a_kind_draws_idle_is_split_among_its_pools():
    one = kind(standing_mw=9, power_mw=12, also=(Seat(1, 1, 4),))
    assert [one.standing_in(p) for p in range(3)] == [5, 4, 0]


@pytest.mark.parametrize(
    ("work", "most"),
    [
        (((0,),), SHARE),
        (((4 * HORIZON,),), SHARE),  # four replicas carry it all
        (((4 * HORIZON + 1,),), SHARE - 1),
        (((HORIZON,), (8 * HORIZON,)), SHARE // 2),
        (((4 * SHARE * HORIZON,),), 1),
        (((4 * SHARE * HORIZON + 1,),), 0),
    ],
)
def test_the_most_that_a_kind_serves_is_rounded_down(work: tuple[tuple[int]], most: int):
    assert fleet([kind(work=work)]).most == ((most,),)
