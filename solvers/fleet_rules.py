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
            e[r,k,j]          power that all of feature j draws as a mean until a time of its own,
            m[r,k]            but for so much
            l[k]              and for no more of all kinds together
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
Objective   min  sum_r (fixed[r] n[r] + start d[r]) + sum_rj flow[r,j] y[r,j] / S,    or    min u;
            see `own_value` for what the last sum is at least

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

from collections.abc import Iterator, Sequence
from typing import get_args

from ortools.sat.python.cp_model import CpModel, LinearExpr

from apex_opt.solvers.fleet_data import HORIZON, SHARE, FleetData, Role
from apex_opt.solvers.fleet_objective import MostServed, Objective, shrink
from apex_opt.solvers.fleet_stock import groups_fit_chain, groups_fit_patterns, whole_nodes_fit
from apex_opt.solvers.fleet_vars import Row, Rule, Vars, make_vars, total

ROLES_APART: tuple[Role, Role] = ("prefill", "decode")

# The solver reasons on rows in 64 bits too; it is 10 times faster, or more, if they leave it room.
WORK_LIMIT = 2**50


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


def sums_within(a: FleetData, v: Vars) -> Iterator[Row]:
    """sum_r each[r] n[r] <= most    for each limit of `fleet_limits`.

    Divided by a power of ten d that keeps it within 64 bits. Rounding both sides down only loosens
    it: sum floor(each / d) n is whole and <= most / d.
    """
    for limit in a.limits:
        numbers = [v.n[r] for r in limit.each]
        most = sum(max(e, 0) * a.kinds[r].max_count for r, e in limit.each.items())
        d = shrink(sum(abs(e) * a.kinds[r].max_count for r, e in limit.each.items()))
        # A limit above what can be reached is none, and might not fit 64 bits.
        within = min(limit.most, most) // d
        yield limit.name, total(numbers, [e // d for e in limit.each.values()]) <= within


def mean_power_within(a: FleetData, v: Vars) -> Iterator[Row]:
    """sum_r standing[r] n[r] + sum_rj e[r,k,j] y[r,j] / S - l[k] <= most.

    Twice for each limit of `fleet_power`: with l[k] = sum_r m[r,k] used[r], and with what may be
    late of all kinds together. Divided and rounded like the rows of `work_fits`.
    """
    for limit in a.power_limits:
        numbers = {r: each for r, each in limit.standing.items() if each}
        shares = {
            (r, j): w
            for r, due in limit.drawn.items()
            for j, w in enumerate(due.work)
            if w and a.most[r][j]
        }
        greatest = sum(SHARE * each * a.kinds[r].max_count for r, each in numbers.items())
        greatest += sum(w * a.most[r][j] for (r, j), w in shares.items())
        late = {r: due.late for r, due in limit.drawn.items() if due.late}
        d = shrink(greatest + SHARE * sum(late.values()), WORK_LIMIT)
        standing = total([v.n[r] for r in numbers], [SHARE * e // d for e in numbers.values()])
        work = total([v.y[r][j] for r, j in shares], [w // d for w in shares.values()])
        saved = total([v.used[r] for r in late], [-(-SHARE * m // d) for m in late.values()])
        most = -(-min(SHARE * limit.most, greatest) // d)
        yield f"{limit.name}, each late", standing + work - saved <= most
        most = -(-min(SHARE * (limit.most + limit.late), greatest) // d)
        yield f"{limit.name}, all late", standing + work <= most


def starts_counted(a: FleetData, v: Vars) -> Iterator[Row]:
    """d[r] >= n[r] - running[r]    for r in R."""
    for r, started in enumerate(v.d):
        yield f"kind {r}", started >= v.n[r] - a.kinds[r].running


def starts_within(a: FleetData, v: Vars) -> Iterator[Row]:
    """sum_r d[r] <= starts."""
    if a.starts is not None:
        yield "plan", LinearExpr.sum(v.d) <= a.starts


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
    sums_within,
    mean_power_within,
    starts_within,
)


LEVELS = 16
"""Rows at most that say what the flow is worth at least: more would tell more kinds apart."""


def own_value(m: CpModel, v: Vars, goal: Objective) -> LinearExpr:
    """sum_r fixed[r] n[r] + start d[r] + f, with f = sum_rj flow[r,j] y[r,j], scaled; or u.

    Where kinds have a least[r], f is at least the smallest of those used and what is beyond:

    f >= sum_rj flow[r,j] y[r,j]
    f >= l - sum_{r: least[r] < l} (l - least[r]) used[r] + sum_rj beyond[r,j] y[r,j]
                                                             for l among the least[r]
    """
    if isinstance(goal, MostServed):
        return v.u
    flow = _served(v, goal.flow)
    started = goal.start * LinearExpr.sum(v.d) if goal.start else 0
    if goal.least:
        worth = m.new_int_var(0, goal.greatest, "f")
        m.add(worth >= flow)
        beyond = _served(v, goal.beyond)
        levels = sorted(set(goal.least))
        for level in levels[:: -max(1, -(-len(levels) // LEVELS))]:
            below = [max(level - least, 0) for least in goal.least]
            m.add(worth + total(v.used, below) >= level + beyond)
        flow = worth
    return total(v.n, goal.fixed) + started + flow


def _served(v: Vars, each: Sequence[Sequence[int]]) -> LinearExpr:
    """sum_rj each[r,j] y[r,j]."""
    pairs = [(r, j) for r, row in enumerate(each) for j, one in enumerate(row) if one]
    return total([v.y[r][j] for r, j in pairs], [each[r][j] for r, j in pairs])


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
