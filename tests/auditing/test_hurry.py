"""An audit whose time runs out, wherever that is: it tells less, and nothing that is wrong."""

import pytest

from apex_opt.auditing.story import answer
from tests.auditing.changed import entries_of, made
from tests.auditing.gallery import GALLERY, Hurried, load, make, pool, timeless

CASES = (
    "weights on one device",
    "replicas, formats: of help together only",
    "a level with power and with the budget",
    "memory and a level",
    "a share of requests",
)


def hurried(case):
    """Yield the audits that end after ever more questions, up to one that has all the time."""
    spec = make(**GALLERY[case])
    whole = answer(spec, timeless()).questions
    for most in (1, 2, *range(4, whole, max(whole // 6, 1))):
        yield spec, answer(spec, Hurried(most))


@pytest.mark.parametrize("case", CASES)
def test_what_is_told_in_a_hurry_holds(case):
    judge = timeless()
    for spec, found in hurried(case):
        assert found.status in {"infeasible", "undecided"}
        known = entries_of(spec, judge, found)
        for relaxation in found.relaxations:
            assert judge.ask(made(known, relaxation, spec)).feasible
        for conflict in found.conflicts if len(found.conflicts) == 1 else ():
            for entry in (known[key] for key in conflict.helpless):
                every = [(v,) for v, _ in getattr(entry.dial, "others", ())]
                changed = [entry.dial.put(spec, *v) for v in every] or [entry.loosened(spec)]
                assert {judge.ask(one).status for one in changed} == {"infeasible"}


@pytest.mark.parametrize("case", CASES)
def test_conflicts_that_are_called_irreducible_in_a_hurry_are_told_as_with_time(case):
    whole = {
        frozenset(e.key for e in c.entries)
        for c in answer(make(**GALLERY[case]), timeless()).conflicts
    }
    for _, found in hurried(case):
        sure = [c for c in found.conflicts if c.irreducible]
        assert {frozenset(e.key for e in c.entries) for c in sure} <= whole


def test_what_binds_is_left_open_where_the_time_is_over():
    spec = make(pools=pool(2), workload=load(40, 1000), objective='minimize = "latency"', slo="")
    judge = Hurried(100)

    def listen(event):
        if event.phase == "asking what each entry costs":
            judge.most = 0

    found = answer(spec, judge, listen)
    assert found.status == "feasible"
    assert {(row.without, row.binds, row.proved) for row in found.held} == {(None, False, False)}
    assert found.carried.number == 40
