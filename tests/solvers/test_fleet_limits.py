from dataclasses import replace
from typing import Any

import pytest

from apex_opt.solvers.fleet_data import PoolData
from apex_opt.solvers.fleet_limits import Limit
from apex_opt.solvers.fleet_rules import sums_within
from tests.solvers.fleets import fleet, kind
from tests.solvers.pinned import holds


@pytest.mark.parametrize(
    ("limit", "less"),
    [
        ({"devices": 13}, {"devices": 12}),
        ({"replicas": 3}, {"replicas": 2}),
        ({"price_u": 16}, {"price_u": 15}),
        ({"power_mw": 19}, {"power_mw": 18}),
        ({"pools": (PoolData(9, 8, 14), PoolData(9, 8))}, {"pools": (PoolData(9, 8, 13),) * 2}),
    ],
)
def test_limits_hold_to_the_last_unit(limit: dict[str, Any], less: dict[str, Any]):
    # One replica of the first kind takes 4 devices, 5 of price, 7 of power; of the second 5, 6, 5.
    kinds = [
        kind(group_devices=2, groups=2, price_u=5, power_mw=7),
        kind(group_devices=5, price_u=6, power_mw=5, pool=1),
    ]
    free = fleet(kinds, pools=(PoolData(9, 8), PoolData(9, 8)))
    assert holds(sums_within, free, (4, 4))
    assert holds(sums_within, replace(free, **limit), (2, 1))
    assert not holds(sums_within, replace(free, **less), (2, 1))


ROLES = [
    kind(),
    kind(role="prefill", cache=1),
    kind(role="decode", cache=1),
    kind(role="prefill", cache=2),
    kind(role="decode", cache=2),
]


@pytest.mark.parametrize(
    ("n", "allowed"),
    [
        ((0, 4, 4, 0, 0), True),
        ((0, 3, 0, 2, 0), False),  # five devices prefill
        ((0, 1, 3, 0, 2), True),
        ((0, 1, 3, 0, 3), False),  # six decode
        ((4, 0, 0, 0, 0), True),  # mixed replicas have no such limit
    ],
)
def test_the_devices_of_a_role_are_limited(n: tuple[int, ...], allowed: bool):
    data = fleet(ROLES, prefill_devices=4, decode_devices=5)
    assert holds(sums_within, data, n) is allowed


@pytest.mark.parametrize(("n", "within"), [((1, 1), True), ((2, 3), True), ((2, 1), False)])
def test_spot_devices_are_a_share_of_all(n: tuple[int, int], within: bool):
    data = fleet([kind(spot_devices=1), kind()], spot_ppm=500_000)
    assert holds(sums_within, data, n) is within


def test_limits_beyond_64_bits_are_loosened_never_tightened():
    data = fleet([kind(price_u=10**18), kind(price_u=1)], price_u=4 * 10**18)
    assert holds(sums_within, data, (4, 0))
    assert not holds(sums_within, replace(data, price_u=4 * 10**18 - 100), (4, 0))


@pytest.mark.parametrize(("r", "allowed"), [(0, 3), (1, 9), (2, 9), (3, 0)])
def test_of_a_kind_alone_as_many_are_allowed_as_the_limit_holds(r: int, allowed: int):
    assert Limit("devices", {0: 2, 1: 0, 3: 8}, 7).allows(r, 9) == allowed
