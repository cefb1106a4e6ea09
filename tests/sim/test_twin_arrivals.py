"""The twin's sessions and the order of its queue, worked out by hand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from apex_opt.sim.engine import EngineRules
from apex_opt.sim.steps import StepTable
from tests.sim.by_hand import column, load, session, steps_of
from tests.sim.twin import Twin

Flat = Callable[..., StepTable]


# ---- sessions


def test_a_client_opens_the_next_only_when_its_session_is_over(
    rules: EngineRules, flat: Flat
) -> None:
    turns = load(
        (0, 2, 1),
        (0, 4, 1),
        (0, 2, 1),
        concurrency=1,
        after=column(-1, 0, -1),
        think_ns=column(0, 30, 0),
    )
    twin = Twin(turns, rules, flat()).play()
    assert [r.arrival for r in twin.requests] == [0, 130, 230]


def test_who_follows_a_rejected_request_arrives_after_thinking(
    rules: EngineRules, flat: Flat
) -> None:
    twin = Twin(session((5, 99, 9), (5, 110, 1), think=30), rules, flat()).play()
    assert [(r.rejected, r.arrival) for r in twin.requests] == [(True, 5), (True, 35)]
    assert twin.flown == []


def test_at_the_same_time_openings_come_before_later_turns(rules: EngineRules, flat: Flat) -> None:
    # The second turn and the opening are both due at 140, while nothing runs.
    both = load(
        (0, 2, 1), (0, 4, 1), (140, 2, 1), after=column(-1, 0, -1), think_ns=column(0, 40, 0)
    )
    twin = Twin(both, rules, flat()).play()
    assert steps_of(twin)[1] == [(2, 2), (1, 4)]


# ---- order


def test_the_least_priority_goes_first_and_ties_as_they_came(
    rules: EngineRules, flat: Flat
) -> None:
    rules = replace(rules, order="priority", max_seqs=1)
    crowd = load((0, 1, 1), (0, 1, 1), (0, 1, 1), priority=column(2, 1, 1))
    twin = Twin(crowd, rules, flat()).play()
    assert steps_of(twin) == [[(1, 1)], [(2, 1)], [(0, 1)]]


def test_the_shortest_prompt_goes_first(rules: EngineRules, flat: Flat) -> None:
    rules = replace(rules, order="shortest", max_seqs=1)
    twin = Twin(load((0, 3, 1), (0, 2, 1), (0, 3, 1)), rules, flat()).play()
    assert steps_of(twin) == [[(1, 2)], [(0, 3)], [(2, 3)]]


def test_by_priority_the_last_in_rank_gives_way_though_it_has_its_token(
    rules: EngineRules, flat: Flat
) -> None:
    # Blocks of 1: 2 + 2 for the prompts, and one free. The first takes it, the second finds none
    # and takes all that the first has, its new block too.
    rules = replace(rules, block_tokens=1, blocks=5, order="priority")
    twin = Twin(load((0, 2, 2), (0, 2, 2), priority=column(1, 0)), rules, flat()).play()
    assert steps_of(twin) == [[(1, 2), (0, 2)], [(1, 1)], [(0, 3)]]
    twin = Twin(load((0, 2, 3), (50, 2, 2), priority=column(1, 0)), rules, flat()).play()
    assert steps_of(twin)[:3] == [[(0, 2)], [(0, 1), (1, 2)], [(1, 1)]]
    assert [r.preempted for r in twin.requests] == [1, 0]
