"""Small random specs: what an audit claims of each, held against every plan."""

import random

import pytest

from apex_opt.auditing.beyond import widenings
from apex_opt.auditing.dials import Range
from apex_opt.auditing.story import answer, known_entries
from apex_opt.spec.loader import loads
from benchmarks.exhaustive import draw
from tests.auditing.brute import labelled
from tests.auditing.gallery import timeless


def drawn(seed):
    return loads(draw(random.Random(seed)))


def meeting(spec):
    """Return the labels of all plans that meet the spec."""
    return {name for name, plan in labelled(spec) if plan.missed is None}


@pytest.mark.parametrize("seed", range(16))
def test_claims_hold_against_every_plan(seed):
    spec, judge = drawn(seed), timeless()
    found = answer(spec, judge)
    assert (found.status == "feasible") == bool(meeting(spec))
    known = {e.key: e for e in known_entries(spec, judge, judge.ask(spec))}
    known |= {e.key: e for c in found.conflicts for e in widenings(spec, c.code)}
    for relaxation in found.relaxations:
        changed = spec
        for change in relaxation.changes:
            changed = put(known[change.entry.key], change, changed)
        assert relaxation.plan in meeting(changed), relaxation.text
        for change in relaxation.changes:
            dial = known[change.entry.key].dial
            if isinstance(dial, Range) and relaxation.smallest == "proved":
                less = dial.put(changed, dial.exact(dial.tighter(change.number)))
                assert not meeting(less), relaxation.text
    for key in found.conflict.helpless if len(found.conflicts) == 1 else ():
        assert not meeting(known[key].loosened(spec)), key


def put(entry, change, spec):
    if isinstance(entry.dial, Range):
        return entry.dial.put(spec, entry.dial.exact(change.number))
    return entry.dial.put(spec, {words: v for v, words in entry.dial.others}[change.value])
