"""Specs that are neither met nor excluded: what the plans that were simulated say of them."""

import pytest

import apex_opt
from apex_opt.auditing import story
from apex_opt.auditing.story import answer, known_entries
from tests.auditing.changed import made
from tests.auditing.gallery import load, make, pool, timeless

LARGE = {"pools": pool(8, nodes=64), "parallelism": "tensor = [4, 8]\nmax_stages = 1"}


@pytest.fixture
def floor():
    """The least TTFT that bounds allow, ms: as every request waits for the step under way, more."""
    asked = timeless().ask(make(**LARGE, slo="ttft_ms = { p99 = 1 }")).asked
    return min(bounds.ttft_ns.max() for bounds in asked.bounds) / 1e6


def undecided(monkeypatch, slo, **more):
    """Return a spec of a space that is too large for eight simulations, and its audit."""
    monkeypatch.setattr(story, "MOST_FIRST", 8)
    spec = make(**LARGE, slo=slo, **more)
    found = answer(spec, timeless())
    assert found.status == "undecided"
    return spec, found


def test_changes_are_told_with_which_a_simulated_plan_would_do(monkeypatch, floor):
    spec, found = undecided(monkeypatch, f"ttft_ms = {{ p99 = {1.001 * floor} }}")
    assert found.text == (
        f"not proved: no plan was found among {found.simulated} simulated, and none is excluded; "
        "raise `search.time_limit_s`, or lower `workload.requests`"
    )
    (relaxation,) = found.relaxations
    judge = timeless()
    known = {e.key: e for e in known_entries(spec, judge, judge.ask(spec, 0))}
    assert judge.ask(made(known, relaxation, spec)).feasible
    assert (relaxation.plan, relaxation.smallest) == (found.near.plan, "not proved")


def test_where_a_time_is_named_a_number_of_simulations_is_no_limit(monkeypatch, floor):
    spec, _ = undecided(monkeypatch, f"ttft_ms = {{ p99 = {1.001 * floor} }}")
    assert apex_opt.audit(spec).status == "undecided"
    assert apex_opt.audit(spec, time_limit_s=600).status == "infeasible"


def test_the_gap_is_what_bounds_exclude_tighter_than_the_spec(monkeypatch, floor):
    _, found = undecided(monkeypatch, f"ttft_ms = {{ p99 = {1.001 * floor} }}")
    (change,) = found.relaxations[0].changes
    assert 0.99 * floor < change.barred_number <= floor
    assert timeless().excludes(make(**LARGE, slo=f"ttft_ms = {{ p99 = {change.barred_number} }}"))


def test_a_share_is_offered_as_some_plan_keeps_it_and_has_no_gap_where_all_may_keep_it(monkeypatch):
    unlike = {"workload": load(40, '{ distribution = "uniform", low = 400, high = 600 }')}
    _, found = undecided(monkeypatch, "ttft_ms = 13.8\nattainment = 0.99", **unlike)
    (change,) = found.relaxations[0].changes
    assert (change.entry.key, change.barred) == ("slo.attainment", None)
    assert found.near.misses == (f"attainment {change.number:.2%} < 99.00%",)


def test_no_more_than_two_numbers_are_changed_together(monkeypatch, floor):
    slo = f"ttft_ms = {{ p99 = {1.001 * floor} }}\ntpot_ms = {{ p99 = 3 }}\nitl_ms = {{ p99 = 4 }}"
    _, found = undecided(monkeypatch, slo)
    assert found.relaxations
    assert max(len(one.changes) for one in found.relaxations) == 2
    (pair,) = [one for one in found.relaxations if len(one.changes) == 2]
    assert [change.barred for change in pair.changes] == [None, None]


def test_a_share_that_no_request_keeps_is_not_offered_as_a_change(monkeypatch, floor):
    _, found = undecided(monkeypatch, f"ttft_ms = {1.001 * floor}")
    assert found.relaxations == ()
    assert found.near.misses == ("attainment 0.00% < 99.00%",)
