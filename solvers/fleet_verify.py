"""A second look at a plan, in fractions and without the solver: is it one, what is it worth?

Nothing here shares code with the model's rows. A plan that passes meets the data exactly; the model
is a relaxation and may return one that fails by millionths.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import get_args

from apex_opt.solvers.exact_lp import lexicographic_maximum
from apex_opt.solvers.fleet_data import HORIZON, SHARE, FleetData, Kind, PoolData, Role
from apex_opt.solvers.packing import Stand, place


def faults(data: FleetData, counts: Sequence[int]) -> list[str]:
    """Return in words what forbids the plan with these counts; nothing if it is one."""
    wrong = [*_counts_wrong(data, counts)]
    if wrong:
        return wrong
    found = forbidden(data, counts)
    share = served(data, counts)
    if data.sense == "min" and share < 1:
        found.append(f"work: at most {float(share):.6f} of the traffic can be served")
    return found


def forbidden(data: FleetData, counts: Sequence[int]) -> list[str]:
    """Return in words which rules and limits forbid a plan, whatever it can serve."""
    return [*_choice_wrong(data, counts), *_stock_wrong(data, counts), *_limits(data, counts)]


def pack(pool: PoolData, groups: Sequence[int]) -> list[Stand] | None:
    """Return where each group of devices stands in the pool, or None where they do not fit.

    Returns:
        For each group, in the order given, its (node, devices): one, or several whole nodes in a
        row. The same groups always stand in the same places.
    """
    return place(pool.nodes, pool.node_devices, groups)


def served(data: FleetData, counts: Sequence[int]) -> Fraction:
    """Return the greatest share of the traffic (for sense `max`: of the goal) that can be served.

    For sense `min` all features are served to the same share.
    """
    return _best_split(data, counts)[0]


def value(data: FleetData, counts: Sequence[int]) -> Fraction | None:
    """Return the exact objective of the best split, or None where it cannot serve all traffic."""
    share, flow = _best_split(data, counts)
    if data.sense == "max":
        return data.total * share
    if share < 1:
        return None
    fixed = sum(kind.fixed * n for kind, n in zip(data.kinds, counts, strict=True))
    return fixed + data.start * _started(data, counts) + flow


def _started(data: FleetData, counts: Sequence[int]) -> int:
    return sum(max(n - kind.running, 0) for kind, n in zip(data.kinds, counts, strict=True))


def _counts_wrong(data: FleetData, counts: Sequence[int]) -> Iterator[str]:
    if len(counts) != len(data.kinds):
        yield f"there are {len(counts)} counts for {len(data.kinds)} kinds"
        return
    for r, (kind, n) in enumerate(zip(data.kinds, counts, strict=True)):
        if not 0 <= n <= kind.max_count:
            yield f"kind {r}: {n} replicas, allowed are 0 to {kind.max_count}"


def _choice_wrong(data: FleetData, counts: Sequence[int]) -> Iterator[str]:
    used = {r for r, n in enumerate(counts) if n}
    if not used:
        yield "no replica runs"
    for role in get_args(Role):
        alike = sum(data.kinds[r].role == role for r in used)
        if alike > data.max_kinds:
            which = "kinds" if role == "mixed" else f"{role} kinds"
            yield f"{which}: {alike} used, at most {data.max_kinds} allowed"
    yield from role_faults(data, counts)
    for r in sorted(used):
        needed = data.kinds[r].companions
        if needed is not None and not needed & used:
            others = " or ".join(map(str, sorted(needed))) or "another kind, but none helps"
            yield f"kind {r}: must not serve without {others}"
        if counts[r] <= data.kinds[r].spare:
            yield f"kind {r}: {counts[r]} replicas, of which {data.kinds[r].spare} are spare"


def role_faults(data: FleetData, counts: Sequence[int]) -> Iterator[str]:
    """Yield what is wrong with the roles of the kinds that are used.

    A plan is all mixed; or some of them prefill, the others decode, and their caches are alike.
    """
    used = [kind for kind, n in zip(data.kinds, counts, strict=True) if n]
    roles = {kind.role for kind in used}
    if roles <= {"mixed"}:
        return
    if roles != {"prefill", "decode"}:
        yield "roles: all replicas are mixed, or some prefill and the others decode"
    if len({kind.cache for kind in used if kind.role != "mixed"}) > 1:
        yield "roles: prefill and decode have caches that do not fit each other"


def _stock_wrong(data: FleetData, counts: Sequence[int]) -> Iterator[str]:
    for p, pool in enumerate(data.pools):
        groups = [
            kind.group_devices
            for kind, n in zip(data.kinds, counts, strict=True)
            for _ in range(n * kind.groups_in(p))
        ]
        if pack(pool, groups) is None:
            yield (
                f"pool {p}: {len(groups)} groups of {sum(groups)} devices do not fit "
                f"{pool.nodes} nodes of {pool.node_devices}"
            )


def _limits(data: FleetData, counts: Sequence[int]) -> Iterator[str]:
    plan = list(zip(data.kinds, counts, strict=True))
    rows = [
        ("devices", sum(kind.devices * n for kind, n in plan), data.devices),
        ("replicas", sum(counts), data.replicas),
        ("price_u", sum(kind.price_u * n for kind, n in plan), data.price_u),
        ("power_mw", sum(kind.power_mw * n for kind, n in plan), data.power_mw),
        ("starts", _started(data, counts), data.starts),
    ] + [
        (f"pool {p}: power_mw", sum(k.power_in(p) * n for k, n in plan), pool.power_mw)
        for p, pool in enumerate(data.pools)
    ]
    for role, most in data.role_devices.items():
        taken = sum(kind.devices * n for kind, n in plan if kind.role == role)
        rows.append((f"{role} devices", taken, most))
    for name, taken, limit in rows:
        if limit is not None and taken > limit:
            yield f"{name}: {taken} taken, at most {limit} allowed"
    spot, devices = (sum(getattr(k, of) * n for k, n in plan) for of in ("spot_devices", "devices"))
    for name, room, _ in _power_left(data, counts):
        if room < 0:
            yield f"{name}: {-room} mW too much even if all that may be late is"
    if data.spot_ppm is not None and 10**6 * spot > data.spot_ppm * devices:
        yield f"spot: {spot} of {devices} devices, at most {data.spot_ppm} millionths allowed"


def _power_left(
    data: FleetData, counts: Sequence[int]
) -> Iterator[tuple[str, int, dict[int, tuple[int, ...]]]]:
    """Yield for each limit on power and time what is left for work, and what work draws.

    What is left is the limit, less what all replicas draw idle, and what may be late. Kinds that
    stand in several pools are not known to work in any one of them.
    """
    plan = [(r, kind, n) for r, (kind, n) in enumerate(zip(data.kinds, counts, strict=True)) if n]
    for k in range(len(data.late_mw)):
        for p, most in [
            (None, data.power_mw),
            *((p, d.power_mw) for p, d in enumerate(data.pools)),
        ]:
            if most is None:
                continue
            for _, kind, n in plan:
                idle = kind.standing_mw
                if p is not None:
                    seats = {seat.pool: seat.power_mw for seat in kind.also}
                    elsewhere = sum(seats.values())
                    idle = idle - elsewhere if kind.pool == p else seats.get(p, 0)
                most -= idle * n
            here = [(r, kind.drawn[k]) for r, kind, _ in plan if _works_in(kind, p)]
            most += min(sum(due.late for _, due in here), data.late_mw[k])
            name = f"power_mw by time {k}"
            yield name if p is None else f"pool {p}: {name}", most, {r: d.work for r, d in here}


def _works_in(kind: Kind, p: int | None) -> bool:
    return p is None or (kind.pool == p and not kind.also)


def _best_split(data: FleetData, counts: Sequence[int]) -> tuple[Fraction, Fraction]:
    """Return the greatest share s, and the least objective of flow among the splits that reach it.

    Variables: s, t, then z[r,j] for the used kinds r, of which l is the smallest `least_flow`.
    max s, then min t + l, over
        s <= 1
        sum flow z <= t + l
        sum beyond z <= t
        s - sum_r z[r,j] <= 0                            sense `min`: all j; `max`: the goal
        slope s - S sum_r z[r,j] <= -intercept           sense `max`: each floor of j
        sum_j w[r,k,j] z[r,j] <= 10^9 n[r]               each resource k; without the spare ones
                                                         where the objective counts no split
        sum_j v[r,k,j] z[r,j] <= 10^9 n[r] + l[r,k]      each row k that is due, likewise
        sum_rj e[r,k,j] z[r,j] <= what is left of power  each limit on it, each time k
    Sums over r are over the kinds that serve j. More than s may be served of a feature; it could be
    left out, as work and flow are >= 0.
    """
    used = [r for r, n in enumerate(counts) if n]
    width = 2 + len(used) * data.features

    def row(share: int, parts: dict[tuple[int, int], int], worth: int = 0) -> list[int]:
        cells = [share, worth] + [0] * (width - 2)
        for (i, j), coefficient in parts.items():
            cells[2 + i * data.features + j] = coefficient
        return cells

    def each(rows: Sequence[Sequence[int]]) -> dict[tuple[int, int], int]:
        return {(i, j): c for i, cells in enumerate(rows) for j, c in enumerate(cells)}

    own = range(data.features) if data.sense == "min" else [data.goal]
    floors = data.served if data.sense == "max" else ()
    who = [[i for i, r in enumerate(used) if data.serves(r, j)] for j in range(data.features)]
    rows = [row(1, {})] + [row(1, {(i, j): -1 for i in who[j]}) for j in own]
    limits = [1] + [0] * len(own)
    for j, lines in enumerate(floors):
        for line in lines:
            rows.append(row(line.slope, {(i, j): -SHARE for i in who[j]}))
            limits.append(-line.intercept)
    split = data.sense == "max" or any(any((*k.flow, *k.beyond)) for k in data.kinds)
    for i, r in enumerate(used):
        serving = counts[r] if split else max(counts[r] - data.kinds[r].spare, 0)
        due = [(one.work, one.late) for one in data.kinds[r].due]
        for work, late in [*((work, 0) for work in data.kinds[r].work), *due]:
            rows.append(row(0, {(i, j): w for j, w in enumerate(work)}))
            limits.append(HORIZON * serving + late)
    for _, room, drawn in _power_left(data, counts):
        parts = {(i, j): w for i, r in enumerate(used) for j, w in enumerate(drawn.get(r, ()))}
        rows.append(row(0, parts))
        limits.append(max(room, 0))
    least = min((data.kinds[r].least_flow for r in used), default=0)
    rows += [row(0, each([data.kinds[r].flow for r in used]), -1)]
    rows += [row(0, each([data.kinds[r].beyond for r in used]), -1)]
    limits += [least, 0]
    share, saved = lexicographic_maximum([row(1, {}), row(0, {}, -1)], rows, limits)
    return share, least - saved
