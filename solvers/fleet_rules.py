"""The fleet: how many replicas of each kind, and which share of the traffic each kind serves.

Sets        r in R            kinds of replica
            j in J            features of the traffic (requests, prompt tokens, ...)
            p in P            pools of nodes; R(p) are the kinds that stand in p
            f in F            caches that may move from prefill to decode; P(f), D(f) are the kinds
                              that send and take them in; R(j) are the kinds that serve feature j
Data        N[r]              most replicas of a kind
            w[r,k,j]  1e-9 H  time that one replica is busy on its resource k with all of feature j,
                              at least; H is the horizon
            v[r,k,j]          what of it must be done by a time of its own, in 1e-9 of that time,
            l[r,k]            but for so much
            g[r], q[r,p]      devices of a group; groups of a replica in pool p
            c[p], nodes[p]    devices of a node; nodes
            S = 10^6          a share of 1
Variables   n[r]   in 0..N[r]         replicas
            used[r] in {0,1}          whether there are any
            y[r,j] in 0..most[r,j]    share of feature j that kind r serves, in millionths
                                      (S used[r] where only one kind may be used)
            apart[f] in {0,1}         whether prefill and decode are apart, and caches f move
            u      in 0..S            share of the goal that is not served (sense `max` only)
            x[p,a] in 0..nodes[p]     nodes filled by pattern a (only where sizes form no chain)
            d[r]   in 0..N[r]         replicas that do not run already (only where that counts)
Objective   min  sum_r (fixed[r] n[r] + start d[r]) + sum_rj flow[r,j] y[r,j] / S,    or    min u

Why this is a relaxation. A real plan splits feature j into real shares z[r,j]. Let y = floor(S z).
Every row holds for y if it holds for z: rows of work and the objective have coefficients >= 0 and
y <= S z. Shares of one feature that add up to Z have, over the U kinds used of those that serve it,
S Z - U < sum_r y[r,j] <= S Z,  so "all is served" (Z = 1) reads  S - U + 1 <= sum_r y[r,j] <= S,
which is exact where one kind is used. Data are lower bounds of the truth, so each plan that any
simulation can show to work is a solution here, and no bound of this model is above its objective.
The converse fails by millionths: `fleet_verify` decides in fractions.

Each rule yields rows (whose, inequality) and adds none; its docstring is the formula.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import get_args

from ortools.sat.python.cp_model import (
    BoundedLinearExpression,
    CpModel,
    IntVar,
    LinearExpr,
)

from apex_opt.solvers.fleet_data import HORIZON, SHARE, FleetData, Role
from apex_opt.solvers.fleet_objective import MostServed, Objective, shrink
from apex_opt.solvers.packing import is_chain, patterns

Row = tuple[str, "BoundedLinearExpression | bool"]

ROLES_APART: tuple[Role, Role] = ("prefill", "decode")


# The solver reasons on rows in 64 bits too; it is 10 times faster, or more, if they leave it room.
WORK_LIMIT = 2**50
MILLION = 10**6


@dataclass(frozen=True)
class Vars:
    """Variables, named as in the module's docstring; `x[p]` is empty where sizes form a chain."""

    n: list[IntVar]
    used: list[IntVar]
    y: list[list[LinearExpr]]
    apart: dict[int, IntVar]
    u: IntVar
    x: list[list[IntVar]]
    d: list[IntVar]


Rule = Callable[[FleetData, Vars], Iterator[Row]]


def make_vars(m: CpModel, a: FleetData) -> Vars:
    """Add the variables of `a` to `m`."""
    fills = [
        () if is_chain(sizes) else patterns(pool.node_devices, sizes)
        for pool, sizes in zip(a.pools, a.sizes, strict=True)
    ]
    used = [m.new_bool_var(f"used[{r}]") for r in range(len(a.kinds))]
    return Vars(
        n=[m.new_int_var(0, kind.max_count, f"n[{r}]") for r, kind in enumerate(a.kinds)],
        used=used,
        y=[[_share(m, a, r, j, used[r]) for j in range(a.features)] for r in range(len(a.kinds))],
        apart={f: m.new_bool_var(f"apart[{f}]") for f in a.caches},
        u=m.new_int_var(0, SHARE if a.sense == "max" else 0, "u"),
        x=[
            [m.new_int_var(0, a.pools[p].nodes, f"x[{p},{k}]") for k in range(len(fill))]
            for p, fill in enumerate(fills)
        ],
        d=[
            m.new_int_var(0, kind.max_count, f"d[{r}]")
            for r, kind in enumerate(a.kinds)
            if a.start or a.starts is not None
        ],
    )


def _share(m: CpModel, a: FleetData, r: int, j: int, used: IntVar) -> LinearExpr:
    """Return y[r,j]; where only one kind may be used it serves all or nothing: S used[r]."""
    if a.max_kinds == 1 and a.sense == "min":
        return (SHARE if a.serves(r, j) else 0) * used
    return m.new_int_var(0, a.most[r][j], f"y[{r},{j}]")


def total(variables: Sequence[LinearExpr], coefficients: Sequence[int]) -> LinearExpr:
    """Return sum_i coefficients[i] variables[i]."""
    return LinearExpr.weighted_sum(variables, coefficients)


def used_means_counted(a: FleetData, v: Vars) -> Iterator[Row]:
    """(1 + spare[r]) used[r] <= n[r] <= N[r] used[r]    for r in R."""
    for r, kind in enumerate(a.kinds):
        yield f"kind {r}", (1 + kind.spare) * v.used[r] <= v.n[r]
        yield f"kind {r}", v.n[r] <= kind.max_count * v.used[r]


def something_runs(_: FleetData, v: Vars) -> Iterator[Row]:
    """sum_r used[r] >= 1."""
    yield "plan", LinearExpr.sum(v.used) >= 1


def only_used_serve(a: FleetData, v: Vars) -> Iterator[Row]:
    """y[r,j] <= most[r,j] used[r]    for r in R, j in J."""
    for r, row in enumerate(a.most):
        for j, top in enumerate(row):
            yield f"kind {r}, feature {j}", v.y[r][j] <= top * v.used[r]


def all_is_served(a: FleetData, v: Vars) -> Iterator[Row]:
    """Sense `min`:  S + 1 - sum_r used[r] <= sum_r y[r,j] <= S    for j in J, over r in R(j)."""
    if a.sense == "max":
        return
    for j in range(a.features):
        share, running = _serving(a, v, j)
        yield f"feature {j}", share + running >= SHARE + 1
        yield f"feature {j}", share <= SHARE


def _serving(a: FleetData, v: Vars, j: int) -> tuple[LinearExpr, LinearExpr]:
    """Return sum_{r in R(j)} y[r,j], and sum_{r in R(j)} used[r]."""
    kinds = a.serving[j]
    return LinearExpr.sum([v.y[r][j] for r in kinds]), LinearExpr.sum([v.used[r] for r in kinds])


def share_is_served(a: FleetData, v: Vars) -> Iterator[Row]:
    """Sense `max`, with s = S - u, the real share of the goal rounded down; sums over r in R(j).

    s + 1 - sum_r used[r] <= sum_r y[r,j] <= s                        j the goal
    sum_r y[r,j] <= S                                                 other j
    S (sum_r y[r,j] + sum_r used[r]) >= slope s + S intercept         for each floor of j

    The last is divided by a power of ten that keeps it within 64 bits, rounded to the loose side.
    """
    if a.sense == "min":
        return
    served = SHARE - v.u
    for j in range(a.features):
        share, running = _serving(a, v, j)
        if j == a.goal:
            yield f"feature {j}", share + running >= served + 1
            yield f"feature {j}", share <= served
            continue
        yield f"feature {j}", share <= SHARE
        for floor in a.served[j] if a.served else ():
            d = shrink(SHARE * (floor.slope - floor.intercept))
            least = floor.slope // d * served + SHARE * floor.intercept // d
            yield f"feature {j}", SHARE // d * (share + running) >= least


def work_fits(a: FleetData, v: Vars) -> Iterator[Row]:
    """sum_j w[r,k,j] y[r,j] <= S 10^9 n[r]    for r in R, its resources k.

    Where spare replicas are idle, n[r] - spare[r] used[r] stands for n[r].
    Both sides are divided by a power of ten d that keeps the row below 2^50 (for 7 features and 100
    replicas d = 10^3, a millionth of the horizon); w / d is rounded down, which only loosens the
    row. Where most[r,j] is 0 so is y, and the term is left out: w may be too large for any row.
    """
    for r, (kind, top) in enumerate(zip(a.kinds, a.most, strict=True)):
        d = shrink(a.features * SHARE * HORIZON * max(kind.max_count, 1), WORK_LIMIT)
        serving = v.n[r] - kind.spare * v.used[r] if a.spares_idle else v.n[r]
        for k, row in enumerate(kind.work):
            busy = [(j, w // d) for j, w in enumerate(row) if top[j] and w]
            work = total([v.y[r][j] for j, _ in busy], [w for _, w in busy])
            yield f"kind {r}, resource {k}", work <= SHARE * (HORIZON // d) * serving


def due_is_done(a: FleetData, v: Vars) -> Iterator[Row]:
    """sum_j v[r,k,j] y[r,j] <= S (10^9 n[r] + l[r,k] used[r])    for r in R, each row k due.

    Divided and rounded like the rows of `work_fits`.
    """
    for r, (kind, top) in enumerate(zip(a.kinds, a.most, strict=True)):
        serving = v.n[r] - kind.spare * v.used[r] if a.spares_idle else v.n[r]
        for k, due in enumerate(kind.due):
            most = HORIZON * max(kind.max_count, 1) + due.late
            d = shrink(a.features * SHARE * most, WORK_LIMIT)
            busy = [(j, w // d) for j, w in enumerate(due.work) if top[j] and w]
            work = total([v.y[r][j] for j, _ in busy], [w for _, w in busy])
            room = SHARE * HORIZON // d * serving + -(-SHARE * due.late // d) * v.used[r]
            yield f"kind {r}, due {k}", work <= room


def companions_run(a: FleetData, v: Vars) -> Iterator[Row]:
    """used[r] <= sum_{q in companions[r]} used[q]    for r that may not serve alone."""
    for r, kind in enumerate(a.kinds):
        if kind.companions is not None:
            others = LinearExpr.sum([v.used[q] for q in sorted(kind.companions)])
            yield f"kind {r}", v.used[r] <= others


def all_or_apart(a: FleetData, v: Vars) -> Iterator[Row]:
    """A plan is all mixed, or apart and its caches of one kind; both roles run then.

    used[r] + sum_f apart[f] <= 1                 for mixed r
    used[r] <= apart[f]                           for r in P(f) and D(f), f in F
    apart[f] <= sum_{r in P(f)} used[r], and D(f) likewise
    sum_f apart[f] <= 1
    """
    if not v.apart:
        return
    apart = LinearExpr.sum(list(v.apart.values()))
    yield "plan", apart <= 1
    for r in a.of_role("mixed"):
        yield f"kind {r}", v.used[r] + apart <= 1
    for f, moves in v.apart.items():
        for role in ROLES_APART:
            kinds = a.of_role(role, f)
            yield f"{role}, cache {f}", moves <= LinearExpr.sum([v.used[r] for r in kinds])
            for r in kinds:
                yield f"kind {r}", v.used[r] <= moves


def few_kinds(a: FleetData, v: Vars) -> Iterator[Row]:
    """sum_r used[r] <= max_kinds    over the kinds r of each role."""
    for role in get_args(Role):
        if kinds := a.of_role(role):
            yield role, LinearExpr.sum([v.used[r] for r in kinds]) <= a.max_kinds


def _whole(a: FleetData, v: Vars, p: int) -> LinearExpr:
    """Nodes that groups larger than a node take: sum_{r in R(p): g > c} (g / c) q n[r]."""
    large = [r for r in a.members[p] if a.whole_nodes(r, p)]
    each = [a.whole_nodes(r, p) * a.kinds[r].groups_in(p) for r in large]
    return total([v.n[r] for r in large], each)


def whole_nodes_fit(a: FleetData, v: Vars) -> Iterator[Row]:
    """sum_{r in R(p): g > c} (g[r] / c[p]) q[r,p] n[r] <= nodes[p]    for p in P."""
    for p, pool in enumerate(a.pools):
        yield f"pool {p}", _whole(a, v, p) <= pool.nodes


def groups_fit_chain(a: FleetData, v: Vars) -> Iterator[Row]:
    """Sizes that divide each other: for each size s <= c of pool p.

    sum_{r in R(p): s <= g <= c} g[r] q[r,p] n[r] <= free[p] floor(c / s) s,
    where free[p] = nodes[p] - sum_{r in R(p): g > c} (g / c) q n[r].

    Necessary: the groups of size >= s on one node are multiples of s, so they take at most
    floor(c / s) s of it. Sufficient: place groups by size, largest first, on any node with room.
    When a group of size s comes, all loads are multiples of s; if no node has room, each holds
    floor(c / s) s already, so with this group the row of s would be broken.

    Source: E. G. Coffman, M. R. Garey, D. S. Johnson, "Bin packing with divisible item sizes",
    Journal of Complexity 3, 1987.
    """
    for p, pool in enumerate(a.pools):
        if v.x[p]:
            continue
        for s in a.sizes[p]:
            room = pool.node_devices // s * s
            inside = [r for r in a.members[p] if s <= a.kinds[r].group_devices <= pool.node_devices]
            load = total([v.n[r] for r in inside], [a.kinds[r].devices_in(p) for r in inside])
            yield f"pool {p}, groups of {s}", load + room * _whole(a, v, p) <= room * pool.nodes


def groups_fit_patterns(a: FleetData, v: Vars) -> Iterator[Row]:
    """Sizes that do not: nodes are filled by patterns, pattern b with b[s] groups of size s.

    sum_{r in R(p): g = s} q[r,p] n[r] <= sum_b b[s] x[p,b]    for each size s
    sum_b x[p,b] <= free[p].

    Source: P. C. Gilmore, R. E. Gomory, "A linear programming approach to the cutting-stock
    problem", Operations Research 9, 1961.
    """
    for p, pool in enumerate(a.pools):
        if not v.x[p]:
            continue
        fills = patterns(pool.node_devices, a.sizes[p])
        for i, s in enumerate(a.sizes[p]):
            of_size = [r for r in a.members[p] if a.kinds[r].group_devices == s]
            wanted = total([v.n[r] for r in of_size], [a.kinds[r].groups_in(p) for r in of_size])
            yield f"pool {p}, groups of {s}", wanted <= total(v.x[p], [fill[i] for fill in fills])
        yield f"pool {p}", LinearExpr.sum(v.x[p]) + _whole(a, v, p) <= pool.nodes


def _limited(
    a: FleetData, v: Vars, kinds: Sequence[int], each: Sequence[int], limit: int
) -> BoundedLinearExpression | bool:
    """sum_r each[r] n[r] <= limit, divided by a power of ten that keeps it within 64 bits.

    Rounding both sides down only loosens it: sum floor(e / d) n is whole and <= limit / d.
    """
    most = sum(e * a.kinds[r].max_count for r, e in zip(kinds, each, strict=True))
    d = shrink(most)
    # A limit above what can be reached is none, and might not fit 64 bits.
    return total([v.n[r] for r in kinds], [e // d for e in each]) <= min(limit, most) // d


def devices_within(a: FleetData, v: Vars) -> Iterator[Row]:
    """sum_rp g[r] q[r,p] n[r] <= devices."""
    if a.devices is not None:
        each = [kind.devices for kind in a.kinds]
        yield "plan", _limited(a, v, range(len(a.kinds)), each, a.devices)


def role_devices_within(a: FleetData, v: Vars) -> Iterator[Row]:
    """sum_rp g[r] q[r,p] n[r] <= devices of the role    over the kinds r of each role."""
    for role, most in a.role_devices.items():
        if kinds := a.of_role(role):
            numbers = [v.n[r] for r in kinds]
            yield role, total(numbers, [a.kinds[r].devices for r in kinds]) <= most


def replicas_within(a: FleetData, v: Vars) -> Iterator[Row]:
    """sum_r n[r] <= replicas."""
    if a.replicas is not None:
        yield "plan", _limited(a, v, range(len(a.kinds)), [1] * len(a.kinds), a.replicas)


def price_within(a: FleetData, v: Vars) -> Iterator[Row]:
    """sum_r price_u[r] n[r] <= price_u."""
    if a.price_u is not None:
        each = [kind.price_u for kind in a.kinds]
        yield "plan", _limited(a, v, range(len(a.kinds)), each, a.price_u)


def power_within(a: FleetData, v: Vars) -> Iterator[Row]:
    """sum_r power_mw[r] n[r] <= power_mw."""
    if a.power_mw is not None:
        each = [kind.power_mw for kind in a.kinds]
        yield "plan", _limited(a, v, range(len(a.kinds)), each, a.power_mw)


def pool_power_within(a: FleetData, v: Vars) -> Iterator[Row]:
    """sum_{r in R(p)} power_mw[r,p] n[r] <= power_mw[p]    for p in P."""
    for p, pool in enumerate(a.pools):
        if pool.power_mw is not None:
            each = [a.kinds[r].power_in(p) for r in a.members[p]]
            yield f"pool {p}", _limited(a, v, a.members[p], each, pool.power_mw)


def starts_counted(a: FleetData, v: Vars) -> Iterator[Row]:
    """d[r] >= n[r] - running[r]    for r in R."""
    for r, started in enumerate(v.d):
        yield f"kind {r}", started >= v.n[r] - a.kinds[r].running


def starts_within(a: FleetData, v: Vars) -> Iterator[Row]:
    """sum_r d[r] <= starts."""
    if a.starts is not None:
        yield "plan", LinearExpr.sum(v.d) <= a.starts


def spot_within(a: FleetData, v: Vars) -> Iterator[Row]:
    """sum_r (10^6 spot_devices[r] - spot_ppm g[r] q[r]) n[r] <= 0."""
    if a.spot_ppm is not None:
        each = [MILLION * kind.spot_devices - a.spot_ppm * kind.devices for kind in a.kinds]
        yield "plan", total(v.n, each) <= 0


STRUCTURE: tuple[Rule, ...] = (
    used_means_counted,
    something_runs,
    only_used_serve,
    all_is_served,
    share_is_served,
    work_fits,
    due_is_done,
    companions_run,
    all_or_apart,
    starts_counted,
)
LIMITS: tuple[Rule, ...] = (
    few_kinds,
    whole_nodes_fit,
    groups_fit_chain,
    groups_fit_patterns,
    devices_within,
    role_devices_within,
    replicas_within,
    price_within,
    power_within,
    pool_power_within,
    starts_within,
    spot_within,
)


def own_value(a: FleetData, v: Vars, goal: Objective) -> LinearExpr:
    """sum_r fixed[r] n[r] + start d[r] + sum_rj flow[r,j] y[r,j], scaled;    u for sense `max`."""
    if isinstance(goal, MostServed):
        return v.u
    pairs = [(r, j) for r in range(len(a.kinds)) for j in range(a.features) if goal.flow[r][j]]
    flow = total([v.y[r][j] for r, j in pairs], [goal.flow[r][j] for r, j in pairs])
    started = goal.start * LinearExpr.sum(v.d) if goal.start else 0
    return total(v.n, goal.fixed) + started + flow


def build(a: FleetData, rules: tuple[Rule, ...] = STRUCTURE + LIMITS) -> tuple[CpModel, Vars]:
    """Return the rows of `a` under `rules`, with their variables, without an objective.

    Raises:
        ValueError: sizes of groups that do not divide each other fill a node in too many ways.
    """
    m = CpModel()
    v = make_vars(m, a)
    for rule in rules:
        for whose, row in rule(a, v):
            m.add(row).with_name(f"{rule.__name__}: {whose}")
    return m, v
