"""Small fleets: builders with plain defaults, random ones, and every count vector of one."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import product
from typing import Any

from hypothesis import strategies as st

from apex_opt.solvers.fleet_data import (
    HORIZON,
    SHARE,
    Due,
    FleetData,
    Floor,
    Kind,
    PoolData,
    Role,
    Seat,
)

Counts = tuple[int, ...]


def kind(**changes: Any) -> Kind:
    """One device of pool 0 that carries the whole traffic alone, at a price of 1."""
    plain = Kind(
        pool=0,
        group_devices=1,
        groups=1,
        max_count=4,
        price_u=1,
        power_mw=1,
        work=((HORIZON,),),
        fixed=1,
        flow=(0,),
    )
    return replace(plain, **changes)


def fleet(kinds: Sequence[Kind], **changes: Any) -> FleetData:
    """One pool of one node with 8 devices, no limits."""
    plain = FleetData(pools=(PoolData(1, 8),), kinds=(), features=1, max_kinds=3)
    return replace(plain, kinds=tuple(kinds), **changes)


def vectors(data: FleetData) -> Iterator[Counts]:
    """Every count vector within `max_count`, the empty one included."""
    yield from product(*(range(k.max_count + 1) for k in data.kinds))


@st.composite
def kinds(draw: st.DrawFn, pools: Sequence[PoolData], sizes: Sequence[int], flow: bool) -> Kind:
    """Work in halves and objective in small numbers, so that no exact tie hangs on a millionth."""
    pool = draw(st.integers(0, len(pools) - 1))
    node = pools[pool].node_devices
    fits = [size for size in (*sizes, *sizes, 2 * node) if size <= node or size == 2 * node]
    halves = st.sampled_from([1, 2, 0, 3, 5]).map(lambda half: half * HORIZON // 2)
    return Kind(
        pool=pool,
        group_devices=draw(st.sampled_from(fits)),
        groups=draw(st.sampled_from([1, 1, 2])),
        max_count=draw(st.sampled_from([3, 2, 4, 1, 0])),
        price_u=draw(st.integers(0, 9)),
        power_mw=draw(st.integers(0, 9)),
        work=draw(st.lists(st.tuples(halves, halves), min_size=1, max_size=2).map(tuple)),
        fixed=draw(st.integers(0, 9)),
        flow=draw(st.tuples(*[st.integers(0, 9 if flow else 0)] * 2)),
        spare=draw(st.sampled_from([0, 0, 0, 1])),
        running=draw(st.sampled_from([0, 0, 2])),
        due=draw(st.sampled_from([(), (Due((2 * HORIZON, HORIZON), HORIZON // 2),)])),
        least_flow=draw(st.sampled_from([0, 0, 7, 15])) if flow else 0,
        beyond=draw(st.sampled_from([(), (2, 5), (4, 0)])) if flow else (),
        drawn=draw(st.sampled_from([(Due((4, 4), 0),), (Due((9, 0), 2),), (Due((0, 12), 5),)])),
    )


@st.composite
def across(draw: st.DrawFn, one: Kind, pools: Sequence[PoolData]) -> Kind:
    """Now and then the kind stands in both pools."""
    p = 1 - one.pool
    node = pools[p].node_devices
    if draw(st.integers(0, 2)) or (one.group_devices > node and one.group_devices % node):
        return one
    groups, power = draw(st.integers(1, 2)), draw(st.integers(0, one.power_mw))
    return replace(one, also=(Seat(p, groups, power),))


def _seats(one: Kind) -> int:
    """Return the power of a kind's groups in other pools."""
    return sum(seat.power_mw for seat in one.also)


def limit(high: int) -> st.SearchStrategy[int | None]:
    """Most often none."""
    return st.sampled_from([None, None, None, high, high * 2 // 3, high // 3])


ROLES: tuple[tuple[Role, ...], ...] = (
    ("prefill", "decode", "mixed"),
    ("prefill", "decode", "decode"),
    ("prefill", "prefill", "decode"),
)


@st.composite
def fleets(draw: st.DrawFn, sense: str = "min", sizes: Sequence[int] = (1, 2, 4)) -> FleetData:
    """At most 3 kinds in at most 2 pools, with any limits, companions and roles."""
    pools = tuple(
        PoolData(
            draw(st.sampled_from([3, 2, 1, 0])), draw(st.sampled_from([4, 6, 3])), draw(limit(20))
        )
        for _ in range(draw(st.integers(1, 2)))
    )
    flow = sense == "min" and draw(st.booleans())
    drawn = draw(st.lists(kinds(pools, sizes, flow), min_size=2, max_size=3))
    if len(pools) == 2:
        drawn = [draw(across(k, pools)) for k in drawn]
    if sense == "max":
        drawn = [replace(k, fixed=0, due=()) for k in drawn]
    late = (draw(st.sampled_from([9, 4])),) if sense == "min" and draw(st.booleans()) else ()
    if not late:
        drawn = [replace(k, drawn=()) for k in drawn]
    drawn = [
        replace(k, standing_mw=max(k.power_mw - draw(st.integers(0, 4)), _seats(k))) for k in drawn
    ]
    if len(drawn) == 3 and draw(st.booleans()):
        caches = st.sampled_from([0, 0, 1])
        roles = draw(st.sampled_from(ROLES))
        drawn = [replace(k, role=r, cache=draw(caches)) for k, r in zip(drawn, roles, strict=True)]
    others = [
        frozenset(q for q, other in enumerate(drawn) if q != r and other.role == one.role)
        for r, one in enumerate(drawn)
    ]
    drawn = [
        replace(
            k,
            companions=draw(st.sampled_from([None, None, rest])),
            spot_devices=draw(st.sampled_from([0, k.devices])),
        )
        for k, rest in zip(drawn, others, strict=True)
    ]
    floors = ((), draw(st.sampled_from([(), (Floor(SHARE // 2, 0), Floor(2 * SHARE, -SHARE))])))
    return FleetData(
        pools=pools,
        kinds=tuple(drawn),
        features=2,
        max_kinds=draw(st.sampled_from([3, 2, 1])),
        devices=draw(limit(12)),
        replicas=draw(limit(5)),
        price_u=draw(limit(30)),
        power_mw=draw(limit(30)),
        sense="max" if sense == "max" else "min",
        total=1000 if sense == "max" else 0,
        served=floors if sense == "max" else (),
        prefill=frozenset({0}),
        prefill_devices=draw(limit(6)),
        decode_devices=draw(limit(6)),
        start=draw(st.sampled_from([0, 0, 5])) if sense == "min" else 0,
        starts=draw(limit(6)),
        spot_ppm=draw(st.sampled_from([None, None, 500_000, 300_000, 0])),
        late_mw=late,
    )
