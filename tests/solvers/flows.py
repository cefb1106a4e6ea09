"""Small flow questions: builders, all placements of one, and a maximum flow by listing its cuts."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from typing import Any

from hypothesis import strategies as st

from apex_opt.solvers.flow_data import FlowData, Placement

WIDE = 1e9


def flow(**changes: Any) -> FlowData:
    """Four layers, one type that carries 6, 5, 4 with 1, 2, 3 layers, wide links."""
    count = len(changes.get("machines", (0, 0, 0)))
    plain = FlowData(
        layers=4,
        rates=((6.0, 5.0, 4.0),),
        machines=(0,) * count,
        enter=(WIDE,) * count,
        leave=(WIDE,) * count,
        links=((WIDE,) * count,) * count,
    )
    return replace(plain, **changes)


def apart(where: tuple[int, ...], link: float, **changes: Any) -> FlowData:
    """Machines of one type at sites, with wide links inside and one of `link` between each two."""
    links = tuple(tuple(WIDE if a == b else link for b in where) for a in where)
    return flow(machines=(0,) * len(where), links=links, **changes)


def placements(data: FlowData) -> Iterator[Placement]:
    """Every placement in which each machine holds something."""
    yield from product(
        *(
            [
                (first, first + k)
                for k in range(1, data.holds(i) + 1)
                for first in range(data.layers - k + 1)
            ]
            for i in range(len(data.machines))
        )
    )


def least_cut(data: FlowData, placement: Placement) -> float:
    """The least capacity of edges that part source from sink: the maximum flow, by duality."""
    count = len(placement)
    source, sink = 2 * count, 2 * count + 1
    edges = [(2 * i, 2 * i + 1, data.rate(i, span)) for i, span in enumerate(placement)]
    edges += [(source, 2 * i, data.enter[i]) for i, span in enumerate(placement) if span[0] == 0]
    edges += [
        (2 * i + 1, sink, data.leave[i])
        for i, span in enumerate(placement)
        if span[1] == data.layers
    ]
    edges += [
        (2 * i + 1, 2 * j, data.links[i][j])
        for i, one in enumerate(placement)
        for j, other in enumerate(placement)
        if one[1] == other[0]
    ]
    sides = ({source, *(v for v in range(source) if bits >> v & 1)} for bits in range(4**count))
    return min(sum(c for u, v, c in edges if u in side and v not in side) for side in sides)


@st.composite
def flows(draw: st.DrawFn, wide: bool = False) -> FlowData:
    """At most 4 layers and 3 machines of at most 2 types."""
    rate = st.integers(0, 9).map(float)
    rates = draw(
        st.lists(st.lists(rate, min_size=1, max_size=4).map(tuple), min_size=2, max_size=2)
    )
    machines = draw(st.sampled_from([(0, 1), (1, 0, 0), (0, 1, 0), (1, 0, 1)]))
    count = len(machines)
    link = st.just(WIDE) if wide else st.sampled_from([WIDE, 0.0, 3.0])
    row = st.lists(link, min_size=count, max_size=count).map(tuple)
    return FlowData(
        layers=draw(st.integers(1, 4)),
        rates=rates,
        machines=machines,
        enter=draw(row),
        leave=draw(row),
        links=tuple(draw(row) for _ in machines),
    )
