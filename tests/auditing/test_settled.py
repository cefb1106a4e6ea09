import pytest

from apex_opt.auditing.repair import Repair, move, moved
from apex_opt.auditing.settled import settled
from apex_opt.auditing.story import known_entries
from tests.auditing.gallery import make


@pytest.fixture
def repaired(judge):
    """What makes a repair of a spec that a device for 2 USD/h would meet, from values by key."""
    spec = make(limits="budget_per_hour = 1\ndevices = 2")
    known = {e.key: e for e in known_entries(spec, judge, judge.ask(spec))}

    def repair(values):
        moves = tuple(move(known[f"limits.{key}"], value) for key, value in values.items())
        changed = moved(spec, moves)
        verdict = judge.ask(changed)
        nothing = (None,) * len(moves)
        return Repair(moves, changed, verdict.asked, verdict.plan, smallest=False, barred=nothing)

    return lambda *several: [
        ({one.entry.key: one.words for one in r.moves}, r.smallest)
        for r in settled(judge, spec, [repair(values) for values in several])
    ]


LEAST = ({"limits.budget_per_hour": "2 USD/h"}, True)


def test_a_change_that_the_others_do_without_is_left_out(repaired):
    assert repaired({"budget_per_hour": 2.0, "devices": 4}) == [LEAST]


def test_a_number_is_made_as_small_as_the_others_allow(repaired):
    assert repaired({"budget_per_hour": 8.0}) == [LEAST]


def test_of_repairs_by_the_same_entries_one_is_kept(repaired):
    assert repaired({"budget_per_hour": 2.0}, {"budget_per_hour": 8.0}) == [LEAST]
