from dataclasses import replace
from fractions import Fraction
from itertools import chain, repeat
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apex_opt.solvers import fleet_lines, fleet_pairs
from apex_opt.solvers.fleet_alone import AloneModel
from apex_opt.solvers.fleet_data import HORIZON, Due, FleetData
from apex_opt.solvers.fleet_listed import ListedModel
from apex_opt.solvers.fleet_models import model_of
from apex_opt.solvers.fleet_pairs import PairsModel, pairs
from apex_opt.solvers.fleet_verify import faults, value
from tests.solvers.fleets import Counts, fleet, fleets, kind, vectors


@st.composite
def two_at_most(draw: st.DrawFn) -> FleetData:
    """A question about plans of at most two kinds that do the same."""
    data = draw(fleets("min"))
    kinds = [replace(one, role="mixed", companions=None) for one in data.kinds]
    for r in range(len(kinds)):
        rest = frozenset(range(len(kinds))) - {r}
        kinds[r] = replace(kinds[r], companions=draw(st.sampled_from([None, None, None, rest])))
    return replace(data, kinds=tuple(kinds), max_kinds=2)


def worth(data: FleetData) -> dict[Counts, Fraction]:
    values = {counts: value(data, counts) for counts in vectors(data) if not faults(data, counts)}
    return {counts: v for counts, v in values.items() if v is not None}


def model(data: FleetData) -> PairsModel:
    found = pairs(data)
    assert found is not None
    return found


@settings(max_examples=300, deadline=None)
@given(two_at_most())
def test_every_plan_comes_once_in_order_of_its_exact_value(data: FleetData):
    asked, found = model(data), dict[Counts, int]()
    while (answer := asked.solve()).counts is not None:
        assert answer.status == "optimal"
        assert answer.objective is not None
        assert answer.objective == answer.bound
        assert answer.counts not in found
        found[answer.counts] = answer.objective
        asked.cut(answer.counts)
    assert answer.status == "infeasible"
    assert found == {counts: v // 1 for counts, v in worth(data).items()}
    assert list(found.values()) == sorted(found.values())


@settings(max_examples=60, deadline=None)
@given(two_at_most(), st.data())
def test_a_capped_set_of_kinds_is_left_to_better_bounds_alone(data: FleetData, draw: st.DataObject):
    values, asked = worth(data), model(data)
    if not values:
        return
    capped = draw.draw(st.sampled_from(sorted(values)))
    kinds, at = frozenset(r for r, n in enumerate(capped) if n), int(values[capped])
    asked.cap(kinds, at)
    asked.cap(kinds, at + 1)  # looser: no change
    found = set()
    while (answer := asked.solve()).counts is not None:
        found.add(answer.counts)
        asked.cut(answer.counts)
    assert found == {
        counts
        for counts, v in values.items()
        if frozenset(r for r, n in enumerate(counts) if n) != kinds or v < at
    }


def test_without_time_there_is_a_bound_and_no_plan():
    asked = model(fleet([kind(fixed=5), kind(fixed=3)], max_kinds=2))
    for _ in range(2):
        answer = asked.solve(time_limit_s=-1.0)
        assert (answer.status, answer.counts, answer.bound) == ("unknown", None, 3)
    assert asked.solve().counts == (0, 1)


@pytest.mark.parametrize("ticks", range(12))
def test_wherever_time_ends_no_plan_comes_before_one_that_may_be_better(
    monkeypatch: pytest.MonkeyPatch, ticks: int
):
    """The clock stands still for so many looks at it, and is past the end from then on.

    A pair is bounded by 0 at first and by 90 at last; one kind alone by 50.
    """
    little = kind(work=((10 * HORIZON,),), max_count=1, companions=frozenset({1}), fixed=0)
    dear = kind(flow=(100,), max_count=1, fixed=0)
    fair = kind(flow=(50,), max_count=1, fixed=0)
    asked = model(fleet([little, dear, fair], max_kinds=2))
    clock = chain([0.0] * ticks, repeat(1e9))
    monkeypatch.setattr(fleet_pairs.time, "monotonic", lambda: next(clock))
    answer = asked.solve(time_limit_s=1.0)
    assert answer.bound is not None
    assert answer.bound <= 50
    assert answer.status == "unknown" or answer.objective == 50


def test_spares_count_as_in_the_whole_question_where_another_kind_has_flow():
    spare = kind(work=((2 * HORIZON,),), spare=1, max_count=2)
    data = fleet([spare, kind(max_count=0), kind(flow=(5,), max_count=0)], max_kinds=2)
    assert faults(data, (2, 0, 0)) == []
    assert model(data).solve().counts == (2, 0, 0)


@pytest.mark.parametrize("few", [2, 3, 5, 7])
def test_a_tiny_share_of_very_much_work_excludes_no_plan(few: int):
    """What a leaves is all but one part in 10^9, which b does in exactly its time."""
    most = kind(work=((few * HORIZON + 1,),), max_count=few)
    rest = kind(work=((HORIZON * (few * HORIZON + 1),),), max_count=1)
    data = fleet([most, rest], max_kinds=2)
    assert faults(data, (few, 1)) == []
    assert model(data).solve().counts == (few, 1)


@settings(max_examples=100, deadline=None)
@given(two_at_most(), st.integers(0, 20))
def test_what_is_known_beside_the_data_brings_bounds_closer(data: FleetData, each: int):
    def known(counts: Counts) -> int:
        return each * sum(n for n in counts if n > 1)

    asked, found = pairs(data, known), dict[Counts, int]()
    assert asked is not None
    while (answer := asked.solve()).counts is not None:
        assert answer.bound is not None
        found[answer.counts] = answer.bound
        asked.cut(answer.counts)
    fixed = [one.fixed for one in data.kinds]
    assert found == {
        c: max(int(v // 1), sum(f * n for f, n in zip(fixed, c, strict=True)) + known(c))
        for c, v in worth(data).items()
    }
    assert list(found.values()) == sorted(found.values())


def test_unlike_kinds_share_the_traffic_where_neither_has_time_for_all():
    quick = kind(work=((HORIZON, 9 * HORIZON),), max_count=1, flow=(0, 0))
    slow = kind(work=((9 * HORIZON, HORIZON),), max_count=1, flow=(0, 0))
    answer = model(fleet([quick, slow], features=2, max_kinds=2)).solve()
    assert answer.counts == (1, 1)


def test_of_equal_bounds_pairs_take_turns_and_the_largest_of_each_come_first():
    three = [kind(fixed=0, max_count=2) for _ in range(3)]
    asked, order = model(fleet(three, max_kinds=2)), list[Counts]()
    for _ in range(7):
        counts = asked.solve().counts
        assert counts is not None
        order.append(counts)
        asked.cut(counts)
    assert sorted(order[:3]) == [(0, 2, 2), (2, 0, 2), (2, 2, 0)]
    assert sorted(order[3:6]) == [(0, 0, 2), (0, 2, 0), (2, 0, 0)]


@pytest.mark.parametrize(
    "changes", [{"max_kinds": 1}, {"max_kinds": 3}, {"sense": "max", "total": 1}]
)
def test_other_questions_are_not_for_pairs(changes: dict[str, object]):
    kinds = [kind(fixed=0, flow=(0,))] * 2
    assert pairs(fleet(kinds, **{"max_kinds": 2, **changes})) is None


def test_roles_are_not_for_pairs_nor_are_objectives_past_64_bits(monkeypatch: pytest.MonkeyPatch):
    apart = [kind(role="prefill"), kind(role="decode")]
    assert pairs(fleet(apart, max_kinds=2, prefill=frozenset({0}))) is None
    assert pairs(fleet([kind(fixed=2**61)], max_kinds=2)) is None
    monkeypatch.setattr(fleet_lines, "MOST_PLANS", 24)
    same = [kind(fixed=0), kind(fixed=0)]
    assert pairs(fleet(same, max_kinds=2)) is not None  # 4 + 4 and 4 x 4 of them
    monkeypatch.setattr(fleet_lines, "MOST_PLANS", 23)
    assert pairs(fleet(same, max_kinds=2)) is None


@settings(max_examples=150, deadline=None)
@given(two_at_most(), st.sampled_from([1, 2, 5]))
def test_where_few_plans_are_laid_out_at_a_time_all_come_in_order_up_to_a_bound(
    data: FleetData, few: int
):
    values = worth(data)
    with patch.object(fleet_lines, "MOST_PLANS", few):
        asked, found = pairs(data), dict[Counts, int]()
        while asked is not None and (answer := asked.solve()).counts is not None:
            assert answer.bound is not None
            found[answer.counts] = answer.bound
            asked.cut(answer.counts)
    assert list(found.values()) == sorted(found.values())
    assert found.items() <= {counts: v // 1 for counts, v in values.items()}.items()
    left = [v for counts, v in values.items() if counts not in found]
    if asked is None:
        assert not found
    elif answer.status == "infeasible":
        assert not left
    else:
        assert answer.status == "unknown"
        assert answer.bound is not None
        assert all(v >= answer.bound for v in left)


def test_windows_grow_until_they_have_all_plans():
    dear = [kind(fixed=1), kind(fixed=10**6)]
    asked, found = model(fleet(dear, max_kinds=2)), list[Counts]()
    while (counts := asked.solve().counts) is not None:
        found.append(counts)
        asked.cut(counts)
    assert len(found) == 4 + 4 + 16
    assert found[:4] == [(1, 0), (2, 0), (3, 0), (4, 0)]


def test_large_spaces_of_two_kinds_are_answered_by_pairs_small_ones_by_a_list():
    small, large = (fleet([kind(max_count=n)] * 2, max_kinds=2) for n in (2, 8))
    assert isinstance(model_of(small), ListedModel)
    assert isinstance(model_of(replace(small, max_kinds=1)), AloneModel)
    many = replace(large, pools=(replace(large.pools[0], nodes=50),))
    wide = replace(many, kinds=(kind(max_count=60), kind(max_count=60)))
    assert isinstance(model_of(wide), PairsModel)


def test_what_is_due_may_be_late_with_each_kind():
    due = (Due((4 * HORIZON,), HORIZON),)
    data = fleet([kind(due=due, work=((0,),)), kind(due=due, work=((0,),))], max_kinds=2)
    assert faults(data, (1, 1)) == []
    found = set()
    asked = model(data)
    while (counts := asked.solve().counts) is not None:
        found.add(counts)
        asked.cut(counts)
    assert (1, 1) in found
    assert (2, 0) not in found


def test_a_pair_that_is_out_of_reach_by_its_spares_hides_no_other():
    """Beside c one of a may stand, though two of it must; one of b may, and is all that need be."""
    a = kind(fixed=6, spare=1, max_count=3, work=((0,),), companions=frozenset({1, 2}))
    b = kind(fixed=6, max_count=3, work=((2 * HORIZON,),))
    c = kind(fixed=1, max_count=5, work=((2 * HORIZON,),))
    data = fleet([a, b, c], max_kinds=2)
    assert everything(model(data)) == worth(data).keys()


def everything(asked: PairsModel) -> set[Counts]:
    """Return all plans, each of which is cut once it has come."""
    found = set[Counts]()
    while (counts := asked.solve().counts) is not None:
        found.add(counts)
        asked.cut(counts)
    return found
