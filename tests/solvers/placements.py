"""Small placement questions: builders, and every set of pipelines of one."""

from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from itertools import combinations_with_replacement
from typing import Any

from hypothesis import strategies as st

from apex_opt.solvers.placement_data import Group, Pipeline, PlacementData
from apex_opt.solvers.placement_verify import faults


def group(**changes: Any) -> Group:
    """One device of pool 0 that takes 10 ns a layer and holds three, without limits of its own."""
    plain = Group(
        pool=0,
        devices=1,
        memory_bytes=3,
        fixed_bytes=0,
        layer_bytes=(1,),
        fixed_ns=0,
        layers_ns=((0, 10, 20, 30, 40, 50),),
    )
    return replace(plain, **changes)


def question(*groups: Group, **changes: Any) -> PlacementData:
    """Five equal layers, three devices in one pool, hops of no time."""
    hops = ((0,) * len(groups),) * len(groups)
    plain: dict[str, Any] = {"runs": ((0, 5),), "stock": (3,), "hop_ns": hops}
    return PlacementData(groups=groups, **(plain | changes))


def all_pipelines(data: PlacementData) -> list[Pipeline]:
    """Every way to cut the layers and choose a group for each stage."""

    @cache
    def rest(first: int) -> tuple[Pipeline, ...]:
        if first == data.layers:
            return ((),)
        return tuple(
            ((g, first, last), *further)
            for g in range(len(data.groups))
            for last in range(first + 1, data.layers + 1)
            for further in rest(last)
        )

    return [*rest(0)]


def plans(data: PlacementData) -> Iterator[tuple[Pipeline, ...]]:
    """Every allowed set of pipelines."""
    alone = [p for p in all_pipelines(data) if not faults(replace(data, pipelines=1), (p,))]
    for plan in combinations_with_replacement(alone, data.pipelines):
        if not faults(data, plan):
            yield plan


def limit(*values: int) -> st.SearchStrategy[int | None]:
    return st.sampled_from([None, None, *values])


@st.composite
def questions(draw: st.DrawFn) -> PlacementData:
    """At most 4 layers in up to three runs of two kinds, 2 groups, all limits; times are uneven."""
    runs = draw(st.sampled_from([((0, 4),), ((1, 1), (0, 3)), ((1, 1), (0, 2), (1, 1))]))
    times = st.lists(st.integers(0, 9), min_size=2, max_size=4).map(lambda row: (0, *row))
    groups = tuple(
        Group(
            pool=draw(st.integers(0, 1)),
            devices=draw(st.integers(1, 2)),
            memory_bytes=draw(st.integers(1, 9)),
            fixed_bytes=draw(st.integers(0, 2)),
            layer_bytes=draw(st.tuples(st.integers(1, 3), st.integers(1, 3))),
            fixed_ns=draw(st.integers(0, 3)),
            layers_ns=draw(st.tuples(times, times)),
            power_mw=draw(st.integers(0, 5)),
        )
        for _ in range(2)
    )
    hop = st.integers(0, 4)
    equal = draw(st.booleans())
    one = draw(hop)
    return PlacementData(
        runs=runs,
        groups=groups,
        stock=draw(st.tuples(st.integers(0, 6), st.integers(0, 6))),
        hop_ns=tuple(tuple(one if equal else draw(hop) for _ in range(2)) for _ in range(2)),
        pipelines=draw(st.sampled_from([1, 1, 2])),
        stages=draw(limit(1, 2, 3)),
        power_mw=draw(limit(5, 12)),
        latency_ns=draw(limit(8, 20)),
    )
