from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apex_opt.errors import SpecError
from apex_opt.spec.workload import Fixed, Uniform
from apex_opt.trace.sessions import Turns, turns_of
from apex_opt.trace.traffic import traffic
from tests.trace.workloads import load_of, workload

TWO = {"turns": 2, "think_time_s": 3}


def test_a_prompt_is_all_that_was_said_and_a_new_message() -> None:
    turns = Turns(np.array([0, 0, 0, 1, 1]), np.array([True, False, False, True, False]))
    prompt = turns.grown(np.array([5, 1, 2, 7, 3]), np.array([10, 20, 30, 1, 1]))
    # 5; 5 + 10 + 1; 16 + 20 + 2; 7; 7 + 1 + 3.
    assert prompt.tolist() == [5, 16, 38, 7, 11]
    assert turns.after.tolist() == [-1, 0, 1, -1, 3]


def test_the_last_session_is_cut_at_the_number_of_requests() -> None:
    turns = turns_of(
        Fixed(distribution="fixed", value=3), np.random.default_rng(0), requests=7, sessions=7
    )
    assert turns.session.tolist() == [0, 0, 0, 1, 1, 1, 2]
    assert turns.opening.tolist() == [True, False, False, True, False, False, True]


def test_sessions_without_a_limit_are_whole() -> None:
    turns = turns_of(
        Fixed(distribution="fixed", value=3), np.random.default_rng(0), requests=None, sessions=2
    )
    assert turns.session.tolist() == [0, 0, 0, 1, 1, 1]


def test_the_arrival_process_is_that_of_first_turns() -> None:
    drawn = traffic(workload(arrival="constant", sessions=TWO, requests=10), 0, Path())
    seconds = (drawn.load.arrival_ns / 1e9).tolist()
    assert seconds == [0, 0, 0.25, 0.25, 0.5, 0.5, 0.75, 0.75, 1, 1]
    assert drawn.load.think_ns.tolist() == [0, 3 * 10**9] * 5
    assert drawn.rate_rps == pytest.approx(8.0)  # 4 sessions a second, of two turns
    assert drawn.description.startswith("10 requests over 1 s (8/s), in 5 sessions, prompts ")


def test_phases_may_end_the_sessions() -> None:
    asked = workload(
        arrival="piecewise",
        rate_rps=None,
        phases=[{"until_s": 10.0, "rate_rps": 5.0}],
        sessions=TWO,
    )
    load = load_of(asked)
    assert len(load) == 2 * len(load.opens)
    assert 20 < len(load.opens) < 80  # 50 are expected


def test_a_closed_loop_plays_sessions() -> None:
    asked = workload(arrival="closed", rate_rps=None, concurrency=2, sessions=TWO, requests=6)
    load = load_of(asked)
    assert load.concurrency == 2
    assert not load.arrival_ns.any()


def test_shared_tokens_stand_before_the_first_message() -> None:
    asked = {"sessions": TWO, "requests": 6}
    with_prefix = load_of(workload(**asked, prefix={"groups": 1, "tokens": 100}))
    without = load_of(workload(**asked))
    assert with_prefix.prompt_tokens.tolist() == (without.prompt_tokens + 100).tolist()
    assert with_prefix.prefix.tolist() == [0, -1, 0, -1, 0, -1]


@pytest.mark.parametrize(
    ("think", "mean"),
    [
        (2.5, 2.5),
        ({"distribution": "exponential", "mean": 4.0}, 4.0),
        ({"distribution": "uniform", "low": 1.0, "high": 3.0}, 2.0),
        ({"distribution": "lognormal", "mean": 2.0, "p99": 9.0}, 2.0),
    ],
)
def test_think_times_have_the_mean_of_their_distribution(think: object, mean: float) -> None:
    load = load_of(workload(sessions={"turns": 2, "think_time_s": think}, requests=8000))
    assert load.think_ns[1::2].mean() / 1e9 == pytest.approx(mean, rel=0.08)
    assert not load.think_ns[::2].any()


def test_sessions_that_grow_too_long_are_refused() -> None:
    asked = workload(prompt_tokens=10**9, sessions={"turns": 3})
    with pytest.raises(
        SpecError, match=re.escape("workload: a session grows to prompts of 3,000,")
    ):
        traffic(asked, 0, Path())


def test_too_many_turns_are_refused() -> None:
    asked = workload(
        arrival="piecewise",
        rate_rps=None,
        phases=[{"until_s": 10.0, "rate_rps": 5.0}],
        sessions={"turns": 10**9},
    )
    with pytest.raises(
        SpecError, match=r"^workload: the sessions have [\d,]+ turns; ask for fewer"
    ):
        traffic(asked, 0, Path())


@given(high=st.integers(1, 6), n=st.integers(1, 40), seed=st.integers(0, 9))
@settings(max_examples=50, deadline=None)
def test_every_session_is_one_chain_and_fewer_requests_are_the_first_of_more(
    high: int, n: int, seed: int
) -> None:
    turns = Uniform(distribution="uniform", low=1, high=high)
    asked = {"sessions": {"turns": turns.model_dump(), "think_time_s": 1.0}}
    few, many = (load_of(workload(**asked, requests=k), seed) for k in (n, 60))
    assert len(few) == n
    assert few.prompt_tokens.tolist() == many.prompt_tokens[:n].tolist()
    assert few.arrival_ns.tolist() == many.arrival_ns[:n].tolist()
    assert few.after.tolist() == many.after[:n].tolist()
    assert np.diff(np.append(many.opens, 60)).max() <= high
