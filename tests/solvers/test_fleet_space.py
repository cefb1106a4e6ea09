import math

import pytest
from hypothesis import given, settings

from apex_opt.solvers.fleet_data import FleetData, PoolData, Seat
from apex_opt.solvers.fleet_space import space
from apex_opt.solvers.fleet_verify import pack
from tests.solvers.fleets import fleet, fleets, kind, vectors


def stands(data: FleetData, counts: tuple[int, ...]) -> bool:
    groups = [
        [
            k.group_devices
            for k, n in zip(data.kinds, counts, strict=True)
            for _ in range(n * k.groups_in(p))
        ]
        for p in range(len(data.pools))
    ]
    return all(pack(pool, g) is not None for pool, g in zip(data.pools, groups, strict=True))


def is_plan(data: FleetData, counts: tuple[int, ...]) -> bool:
    used = [k for k, n in zip(data.kinds, counts, strict=True) if n]
    roles = [k.role for k in used]
    few = all(roles.count(role) <= data.max_kinds for role in roles)
    few = few and all(n == 0 or n > k.spare for n, k in zip(counts, data.kinds, strict=True))
    apart = set(roles) == {"prefill", "decode"} and len({k.cache for k in used}) == 1
    return few and (set(roles) == {"mixed"} or apart)


@settings(max_examples=200, deadline=None)
@given(fleets())
def test_the_space_is_what_enumeration_counts(data: FleetData):
    plans = [c for c in vectors(data) if is_plan(data, c)]
    counted, rest = sum(stands(data, counts) for counts in plans), 0
    if any(k.also for k in data.kinds):
        rest = sum(
            p.node_devices % s
            for p, sizes in zip(data.pools, data.sizes, strict=True)
            for s in sizes
        )
    assert space(data) >= counted
    assert rest or space(data) == counted


def test_what_replicas_take_of_two_pools_is_missing_in_both(monkeypatch):
    # Of 2 and 3 devices: one replica over both leaves 1 and 2.
    pools = (PoolData(1, 2), PoolData(1, 3))
    both = kind(max_count=9, also=(Seat(1, 1, 0),))
    data = fleet([both, kind(max_count=9), kind(pool=1, max_count=9)], pools=pools)
    assert space(data) == 3 * 4 + 2 * 3 + 1 * 2 - 1
    monkeypatch.setattr("apex_opt.solvers.fleet_space.MOST_TAKEN", 2)
    assert space(data) == (3 * 4) * 3 - 1


@pytest.mark.parametrize(
    ("sizes", "node", "nodes", "plans"),
    [
        ((4,), 6, 2, 2),  # one group of 4 on each node of 6
        ((4, 2), 6, 1, 5),  # 4 with 0 or 1 of 2; 1 to 3 of 2 alone
        ((12, 4), 6, 3, 5),  # two whole nodes with 0 or 1 of 4; 1 to 3 of 4 alone
    ],
)
def test_rest_that_no_group_can_use_is_not_counted(
    sizes: tuple[int, ...], node: int, nodes: int, plans: int
):
    kinds = [kind(group_devices=size, max_count=9) for size in sizes]
    assert space(fleet(kinds, pools=(PoolData(nodes, node),))) == plans


def test_sizes_without_a_chain_are_bounded_by_their_devices():
    # Two nodes of 4 cannot hold two groups of 3 and one of 2, though these are but 8 devices.
    data = fleet([kind(group_devices=3), kind(group_devices=2)], pools=(PoolData(2, 4),))
    assert sum(stands(data, counts) for counts in vectors(data) if any(counts)) == 8
    assert space(data) == 9


def test_large_spaces_are_counted_exactly():
    # Any kinds of one device each, with no limit but the 4,096 devices: stars and bars.
    kinds = [kind(max_count=4096)] * 20
    data = fleet(kinds, pools=(PoolData(512, 8),), max_kinds=20)
    assert space(data) == math.comb(4096 + 20, 20) - 1


def test_at_most_max_kinds_are_used():
    kinds = [kind(max_count=1)] * 60
    data = fleet(kinds, pools=(PoolData(512, 8),), max_kinds=3)
    assert space(data) == 60 + math.comb(60, 2) + math.comb(60, 3)


def test_of_each_role_at_most_max_kinds_are_used():
    kinds = [kind(max_count=1, role=role) for role in ("prefill", "decode") for _ in range(6)]
    kinds += [kind(max_count=1, role=role, cache=1) for role in ("prefill", "decode")]
    data = fleet(kinds, pools=(PoolData(512, 8),), max_kinds=2)
    assert space(data) == (6 + math.comb(6, 2)) ** 2 + 1
