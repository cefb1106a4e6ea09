from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apex_opt.solvers.fleet import FleetModel
from apex_opt.solvers.fleet_data import HORIZON, SHARE, FleetData, Floor, PoolData
from apex_opt.solvers.fleet_rules import LIMITS, STRUCTURE
from apex_opt.solvers.fleet_verify import faults, pack, served, value
from tests.solvers.fleets import fleet, fleets, kind, vectors

HALF = kind(work=((2 * HORIZON,),))


def test_a_plan_that_meets_everything_to_the_last_unit_has_no_fault():
    data = fleet(
        [replace(HALF, companions=frozenset({1})), HALF],
        pools=(PoolData(1, 2, power_mw=2),),
        max_kinds=2,
        devices=2,
        replicas=2,
        price_u=2,
        power_mw=2,
    )
    assert faults(data, (1, 1)) == []


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"devices": 1}, "devices: 2 taken, at most 1 allowed"),
        ({"replicas": 1}, "replicas: 2 taken, at most 1 allowed"),
        ({"price_u": 1}, "price_u: 2 taken, at most 1 allowed"),
        ({"power_mw": 1}, "power_mw: 2 taken, at most 1 allowed"),
        ({"max_kinds": 1}, "kinds: 2 used, at most 1 allowed"),
        ({"starts": 1}, "starts: 2 taken, at most 1 allowed"),
        (
            {"pools": (PoolData(1, 8, power_mw=1),)},
            "pool 0: power_mw: 2 taken, at most 1 allowed",
        ),
        (
            {"pools": (PoolData(1, 1),)},
            "pool 0: 2 groups of 2 devices do not fit 1 nodes of 1",
        ),
    ],
)
def test_each_limit_is_told_with_what_is_taken(changes: dict[str, object], fault: str):
    assert faults(fleet([HALF, HALF], **changes), (1, 1)) == [fault]


APART = [
    kind(role="prefill"),
    kind(role="decode"),
    kind(role="decode", cache=1),
    kind(),
]


@pytest.mark.parametrize(
    ("counts", "told"),
    [
        ((1, 1, 0, 0), []),
        ((1, 0, 0, 0), ["roles: all replicas are mixed, or some prefill and the others decode"]),
        ((0, 0, 0, 1), []),
        ((1, 1, 0, 1), ["roles: all replicas are mixed, or some prefill and the others decode"]),
        ((1, 0, 1, 0), ["roles: prefill and decode have caches that do not fit each other"]),
        (
            (1, 1, 1, 0),
            [
                "decode kinds: 2 used, at most 1 allowed",
                "roles: prefill and decode have caches that do not fit each other",
            ],
        ),
    ],
)
def test_a_plan_is_all_mixed_or_all_apart(counts: tuple[int, ...], told: list[str]):
    assert faults(fleet(APART, max_kinds=1, prefill=frozenset({0})), counts) == told


def test_devices_of_a_role_beyond_their_limit_are_told():
    data = fleet(APART, prefill=frozenset({0}), prefill_devices=1, decode_devices=3)
    assert faults(data, (1, 3, 0, 0)) == []
    assert faults(data, (2, 4, 0, 0)) == [
        "prefill devices: 2 taken, at most 1 allowed",
        "decode devices: 4 taken, at most 3 allowed",
    ]
    assert faults(data, (0, 0, 0, 4)) == []


def test_prefill_and_decode_are_busy_with_their_own_features():
    # Prefill takes two replicas for all prompts, decode one for all tokens; neither the other's.
    work = ((2 * HORIZON, HORIZON),)
    kinds = [kind(role=role, work=work, flow=(3, 5)) for role in ("prefill", "decode")]
    data = fleet(kinds, features=2, prefill=frozenset({0}))
    assert served(data, (1, 1)) == Fraction(1, 2)
    assert served(data, (2, 1)) == 1
    assert value(data, (2, 1)) == 2 + 1 + 3 + 5


@pytest.mark.parametrize(
    ("counts", "told"),
    [
        ((1,), ["there are 1 counts for 2 kinds"]),
        ((-1, 5), [f"kind {r}: {n} replicas, allowed are 0 to 4" for r, n in ((0, -1), (1, 5))]),
        ((0, 0), ["no replica runs", "work: at most 0.000000 of the traffic can be served"]),
        ((1, 0), ["work: at most 0.500000 of the traffic can be served"]),
        ((0, 2), ["kind 1: must not serve without 0"]),
    ],
)
def test_each_other_fault_is_told_in_words(counts: tuple[int, ...], told: list[str]):
    assert faults(fleet([HALF, replace(HALF, companions=frozenset({0}))]), counts) == told


def test_spare_and_spot_replicas_are_told_in_words():
    data = fleet([kind(spare=1, spot_devices=1)], spot_ppm=500_000)
    assert faults(data, (1,)) == [
        "kind 0: 1 replicas, of which 1 are spare",
        "spot: 1 of 1 devices, at most 500000 millionths allowed",
        "work: at most 0.000000 of the traffic can be served",
    ]


def test_what_must_be_started_costs_once():
    assert value(fleet([kind(running=1)], start=10), (3,)) == 3 + 20


def test_a_kind_that_nothing_helps_must_not_serve():
    data = fleet([kind(companions=frozenset())])
    assert faults(data, (1,)) == ["kind 0: must not serve without another kind, but none helps"]


def test_a_split_is_judged_exactly():
    # Three kinds carry 1/3, 1/3 and just not 1/3 of the traffic: short by less than a millionth.
    third = kind(work=((3 * HORIZON,),))
    less = kind(work=((3 * HORIZON + 1,),))
    assert faults(fleet([third, third, third]), (1, 1, 1)) == []
    told = faults(fleet([third, third, less]), (1, 1, 1))
    assert told == ["work: at most 1.000000 of the traffic can be served"]
    assert FleetModel(fleet([third, third, less], replicas=3)).solve().counts is not None


def test_unlike_kinds_serve_together_what_bounds_of_each_feature_do_not_show():
    # Each kind is good at one feature: alone each serves 1/2 of both, together they serve all.
    first = kind(work=((HORIZON // 2, HORIZON * 3 // 2),), flow=(0, 0))
    second = kind(work=((HORIZON * 3 // 2, HORIZON // 2),), flow=(0, 0))
    data = fleet([first, second], features=2)
    assert served(data, (1, 0)) == Fraction(1, 2)
    assert served(data, (1, 1)) == 1


def test_the_least_flow_fills_the_cheapest_kind_first():
    # The cheap one carries half at 4 for all of it, the other the rest at 10: 2 + 5, and 2 fixed.
    cheap, dear = replace(HALF, flow=(4,)), replace(HALF, flow=(10,))
    assert value(fleet([cheap, dear]), (1, 1)) == 9
    assert value(fleet([cheap, dear]), (1, 0)) is None


def test_the_best_split_weighs_the_flow_against_the_least_and_what_is_beyond():
    # A share z of one: a flow of 10 z + 4 (1 - z), or 2 and 6 (1 - z), are equal at z = 1/3.
    one = kind(fixed=0, flow=(10,), least_flow=2)
    other = kind(fixed=0, flow=(4,), least_flow=3, beyond=(6,))
    assert value(fleet([one, other]), (1, 1)) == 6
    assert value(fleet([one, other]), (1, 0)) == 10
    assert value(fleet([one, other]), (0, 1)) == 9


def test_floors_hold_the_served_share_down():
    # Kind 0 could serve all of feature 0, but half of it needs a quarter of feature 1, and it has
    # room for no more: w = 2 for feature 1, of which floors ask 0.5 s and 1.5 s - 0.5.
    only = kind(work=((0, 2 * HORIZON),), fixed=0, flow=(0, 0))
    floors = ((), (Floor(SHARE // 2, 0), Floor(3 * SHARE // 2, -SHARE // 2)))
    data = fleet([only], features=2, sense="max", total=900, served=floors)
    assert value(data, (1,)) == 600  # 1.5 s - 0.5 = 0.5 at s = 2/3


def test_groups_stand_in_the_order_given():
    assert pack(PoolData(2, 8), [4, 8]) == [((1, 4),), ((0, 8),)]
    assert pack(PoolData(2, 8), [4, 16]) is None


@pytest.mark.parametrize("sizes", [(1, 2, 4), (2, 3)])
def test_the_model_allows_exactly_what_the_verifier_allows(sizes: tuple[int, ...]):
    @settings(max_examples=25, deadline=None)
    @given(st.sampled_from(["min", "max"]).flatmap(lambda s: fleets(s, sizes)), st.data())
    def check(data: FleetData, draw: st.DataObject):
        counts = draw.draw(st.sampled_from(list(vectors(data))))

        def exactly(a: FleetData, v):  # type: ignore[no-untyped-def]
            for n, count in zip(v.n, counts, strict=True):
                yield "plan", n == count

        answer = FleetModel(data, (*STRUCTURE, *LIMITS, exactly)).solve()
        assert (answer.status == "optimal") == (faults(data, counts) == [])

    check()
