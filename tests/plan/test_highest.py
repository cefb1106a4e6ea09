import math

from hypothesis import given, settings
from hypothesis import strategies as st

from apex_opt.plan.highest import highest

GRID = (1.0, 2.0, 4.0, 8.0, 16.0)


def between(good, bad):
    return math.sqrt(good * bad) if bad > 1.01 * good else None


def words(holds):
    return lambda load: None if holds(load) else f"at {load:g}"


def test_the_limit_is_enclosed_within_the_tolerance():
    found = highest(words(lambda load: load <= 5), GRID, between)
    assert found.value <= 5 < found.fails_at <= 1.01 * found.value
    assert found.missed == f"at {found.fails_at:g}"
    # 1, 2, 4, 8 on the grid; log2(ln 2 / ln 1.01) = 6.1, so 7 halvings of the ratio.
    assert found.runs == 4 + 7


def test_what_holds_again_above_a_failure_does_not_count():
    found = highest(words(lambda load: load < 3 or load > 6), GRID, between)
    assert 2.9 < found.value < 3 <= found.fails_at


def test_where_the_lowest_load_fails_nothing_holds():
    found = highest(words(lambda _: False), GRID, between)
    assert (found.value, found.fails_at, found.missed, found.runs) == (0.0, 1.0, "at 1", 1)


def test_where_every_load_holds_there_is_no_failure():
    found = highest(words(lambda _: True), GRID, between)
    assert (found.value, found.fails_at, found.missed, found.runs) == (16.0, None, "", 5)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.booleans(), min_size=40, max_size=40), st.integers(0, 3))
def test_what_is_found_was_played_and_held_below_a_failure_that_was_played(luck, sure):
    # Loads are held or not by chance, by thirds of an octave; the lowest always hold.
    played = {}

    def missed(load):
        held = luck[int(3 * math.log2(load))] or load <= GRID[sure]
        played[load] = held
        return None if held else "missed"

    found = highest(missed, GRID, between)
    assert played[found.value]
    assert all(held for load, held in played.items() if load in GRID and load <= found.value)
    if found.fails_at is not None:
        assert not played[found.fails_at]
        assert found.value < found.fails_at <= 1.01 * found.value
