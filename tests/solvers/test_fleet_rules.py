"""Each rule alone, on the edge and one past it: variables are pinned, the solver only checks."""

from dataclasses import replace

import pytest
from ortools.sat.python.cp_model import OPTIMAL, CpSolver

from apex_opt.solvers import fleet_rules as rules
from apex_opt.solvers.fleet_data import HORIZON, SHARE, Due, FleetData, Floor
from apex_opt.solvers.fleet_rules import LIMITS, STRUCTURE, build
from apex_opt.solvers.fleet_vars import Rule
from tests.solvers.fleets import fleet, kind
from tests.solvers.pinned import holds

TWO = fleet([kind(), kind()])


@pytest.mark.parametrize(
    ("n", "used", "allowed"), [(0, 0, True), (0, 1, False), (1, 0, False), (4, 1, True)]
)
def test_a_kind_is_used_if_and_only_if_it_is_counted(n: int, used: int, allowed: bool):
    assert holds(rules.used_means_counted, TWO, (n, 0), used=(used, 0)) is allowed


@pytest.mark.parametrize(("n", "allowed"), [(0, True), (2, False), (3, True)])
def test_spare_replicas_stand_beside_at_least_one_that_serves(n: int, allowed: bool):
    assert holds(rules.used_means_counted, fleet([kind(spare=2)]), (n,)) is allowed


@pytest.mark.parametrize(("n", "allowed"), [((0, 0), False), ((0, 1), True), ((2, 1), True)])
def test_a_plan_runs_something(n: tuple[int, int], allowed: bool):
    assert holds(rules.something_runs, TWO, n) is allowed


@pytest.mark.parametrize(("n", "share", "allowed"), [(0, 0, True), (0, 1, False), (1, SHARE, True)])
def test_only_used_kinds_serve(n: int, share: int, allowed: bool):
    assert holds(rules.only_used_serve, TWO, (n, 0), ((share,), (0,))) is allowed


@pytest.mark.parametrize(
    ("n", "shares", "allowed"),
    [
        ((1, 0), (SHARE, 0), True),
        ((1, 0), (SHARE - 1, 0), False),  # one kind: nothing to round
        ((1, 1), (SHARE - 2, 1), True),  # 0.9999985 and 0.0000015, rounded down
        ((1, 1), (SHARE - 3, 1), False),
        ((1, 1), (SHARE, 1), False),
    ],
)
def test_shares_add_up_but_for_rounding(n: tuple[int, int], shares: tuple[int, int], allowed: bool):
    assert holds(rules.all_is_served, TWO, n, [(share,) for share in shares]) is allowed


MOST = fleet(
    [kind(fixed=0, work=((1, 1),), flow=(0, 0))] * 2,
    features=2,
    sense="max",
    total=1,
    served=((), (Floor(2 * SHARE, -SHARE),)),
)


@pytest.mark.parametrize(
    ("shares", "u", "allowed"),
    [
        (((SHARE, SHARE), (0, 0)), 0, True),
        (((SHARE // 2, 0), (0, 0)), SHARE // 2, True),
        (((SHARE // 2, 0), (0, 0)), SHARE // 2 - 2, False),  # more than was served
        (((SHARE // 2, 0), (0, 0)), SHARE // 2 + 1, False),  # less than was served
        (((900_000, 799_998), (0, 0)), 100_000, True),  # 2 x 0.9 - 1, two kinds rounded down
        (((900_000, 799_997), (0, 0)), 100_000, False),
        (((900_000, SHARE), (0, 1)), 100_000, False),  # more than there is
    ],
)
def test_a_served_share_asks_for_the_floors_of_the_others(
    shares: tuple[tuple[int, int], tuple[int, int]], u: int, allowed: bool
):
    assert holds(rules.share_is_served, MOST, (1, 1), shares, u) is allowed


@pytest.mark.parametrize(
    ("rule", "data"), [(rules.all_is_served, MOST), (rules.share_is_served, TWO)]
)
def test_each_sense_has_its_own_rule_of_what_is_served(rule: Rule, data: FleetData):
    _, v = build(data, ())
    assert list(rule(data, v)) == []


@pytest.mark.parametrize(
    ("share", "allowed"), [(0, True), (500_000, True), (500_001, False), (SHARE, False)]
)
def test_work_fits_the_replicas_to_the_last_millionth(share: int, allowed: bool):
    data = fleet([kind(work=((0,), (2 * HORIZON,)))])
    assert holds(rules.work_fits, data, (1,), ((share,),)) is allowed


@pytest.mark.parametrize(
    ("n", "share", "allowed"),
    [(1, 750_000, True), (1, 750_001, False), (2, SHARE, True), (0, 1, False)],
)
def test_what_is_due_fits_the_time_until_then_but_for_what_may_be_late(
    n: int, share: int, allowed: bool
):
    data = fleet([kind(due=(Due((2 * HORIZON,), HORIZON // 2),))])
    assert holds(rules.due_is_done, data, (n,), ((share,),)) is allowed


def test_what_is_due_much_too_early_fits_a_row_of_64_bits():
    data = fleet([kind(due=(Due((10**24,), 10**18),))])
    assert not holds(rules.due_is_done, data, (4,), ((SHARE,),))
    assert holds(rules.due_is_done, data, (4,), ((0,),))


def test_work_of_many_replicas_fits_a_row_of_64_bits():
    # 10^6 replicas: the row is divided by 10^6, and work by a millionth of it, rounded down.
    data = fleet([kind(max_count=10**6, work=((10**15,),))])
    assert holds(rules.work_fits, data, (10**6,), ((SHARE,),))
    assert not holds(rules.work_fits, data, (10**6 - 1,), ((SHARE,),))


@pytest.mark.parametrize(
    ("companions", "n", "allowed"),
    [
        (None, (1, 0), True),
        ({1}, (1, 0), False),
        ({1}, (1, 1), True),
        ({1}, (0, 0), True),
        (set(), (1, 1), False),
    ],
)
def test_a_kind_runs_beside_its_companions(
    companions: set[int] | None, n: tuple[int, int], allowed: bool
):
    needed = None if companions is None else frozenset(companions)
    data = fleet([kind(companions=needed), kind()])
    assert holds(rules.companions_run, data, n) is allowed


@pytest.mark.parametrize(("max_kinds", "allowed"), [(1, False), (2, True), (9, True)])
def test_few_kinds_are_used(max_kinds: int, allowed: bool):
    assert holds(rules.few_kinds, replace(TWO, max_kinds=max_kinds), (1, 1)) is allowed


APART = fleet(
    [
        kind(),
        kind(role="prefill", cache=1),
        kind(role="decode", cache=1),
        kind(role="prefill", cache=2),
        kind(role="decode", cache=2),
    ],
    prefill=frozenset({0}),
)


@pytest.mark.parametrize(
    ("n", "allowed"),
    [
        ((1, 0, 0, 0, 0), True),
        ((0, 1, 2, 0, 0), True),
        ((0, 1, 0, 0, 0), False),  # who decodes?
        ((0, 0, 1, 0, 0), False),  # who prefills?
        ((1, 1, 1, 0, 0), False),  # neither all mixed nor all apart
        ((0, 1, 0, 0, 1), False),  # caches of different kinds
        ((0, 1, 1, 1, 1), False),
    ],
)
def test_a_plan_is_all_mixed_or_prefill_and_decode_with_caches_of_one_kind(
    n: tuple[int, ...], allowed: bool
):
    assert holds(rules.all_or_apart, APART, n) is allowed


@pytest.mark.parametrize(("max_kinds", "allowed"), [(1, False), (2, True)])
def test_kinds_are_counted_by_role(max_kinds: int, allowed: bool):
    data = fleet([kind(role="prefill"), kind(role="prefill"), kind(role="decode")])
    assert holds(rules.few_kinds, replace(data, max_kinds=max_kinds), (1, 1, 1)) is allowed
    assert holds(rules.few_kinds, replace(data, max_kinds=max_kinds), (0, 1, 1))


def test_a_role_serves_its_own_features_alone():
    data = fleet([kind(role="prefill"), kind(role="decode")], prefill=frozenset({0}))
    assert holds(rules.all_is_served, data, (1, 1), ((SHARE,), (0,)))
    assert holds(rules.only_used_serve, data, (1, 1), ((SHARE,), (0,)))
    assert not holds(rules.only_used_serve, data, (1, 1), ((0,), (SHARE,)))
    assert not holds(rules.all_is_served, data, (0, 1), ((0,), (0,)))


def test_spare_replicas_serve_only_where_the_objective_counts_who_serves_what():
    carried = SHARE  # what one replica of the plain kind carries
    spare, served = fleet([kind(spare=1)]), fleet([kind(spare=1, flow=(1,))])
    assert holds(rules.work_fits, spare, (2,), ((carried,),))
    assert not holds(rules.work_fits, spare, (1,), ((carried,),))
    assert holds(rules.work_fits, served, (1,), ((carried,),))


def test_starts_are_replicas_beyond_those_that_run():
    data = fleet([kind(running=2), kind()], start=7, starts=1)
    assert build(fleet([kind(running=2)]))[1].d == []
    assert [allowed(data, n) for n in ((2, 1), (3, 0), (3, 1), (2, 2))] == [
        True,
        True,
        False,
        False,
    ]


def allowed(data: FleetData, n: tuple[int, int]) -> bool:
    m, v = build(data, (rules.starts_counted, rules.starts_within))
    for variable, count in zip(v.n, n, strict=True):
        m.add(variable == count)
    return CpSolver().solve(m) == OPTIMAL


def test_every_rule_is_structure_or_limit_and_says_its_formula():
    every = {*STRUCTURE, *LIMITS}
    written = {
        f for f in vars(rules).values() if getattr(f, "__annotations__", {}).get("v") == "Vars"
    }
    yielding = {f for f in written if f.__annotations__["return"] == "Iterator[Row]"}
    assert yielding == every
    assert all("<=" in (f.__doc__ or "") or ">=" in (f.__doc__ or "") for f in every)
