from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apex_opt.errors import SpecError
from apex_opt.sim.load import Load
from apex_opt.trace.prompts import begun, repeated, sampled
from apex_opt.trace.traffic import traffic
from tests.trace.workloads import load_of, workload


def prompts(*tokens: int) -> Load:
    n = len(tokens)
    return Load(np.arange(n), np.array(tokens), np.full(n, 2))


def test_a_group_begins_with_the_same_node_and_short_prompts_are_lengthened() -> None:
    load, lengthened = begun(prompts(100, 8, 7, 3), np.array([5, 2, 5, 2]), 7)
    assert load.prefix.tolist() == [1, 0, 1, 0]
    assert load.prefixes.parent.tolist() == [-1, -1]
    assert load.prefixes.tokens.tolist() == [7, 7]
    assert load.prompt_tokens.tolist() == [100, 8, 8, 8]
    assert lengthened == 2


def test_repeated_prompts_are_shared_to_their_end_below_their_group() -> None:
    load, _ = begun(prompts(10, 20, 10), np.array([0, 1, 0]), 7)
    load = repeated(load, np.array([0, 1, 0]))
    assert load.prefix.tolist() == [2, 3, 2]
    assert load.prefixes.parent.tolist() == [-1, -1, 0, 1]
    assert load.prefixes.tokens.tolist() == [7, 7, 10, 20]


def test_a_prompt_that_is_all_shared_has_no_node_beyond_it() -> None:
    load = repeated(prompts(10, 10), np.array([0, 0]))
    again = repeated(load, np.array([0, 0]))
    assert again.prefix.tolist() == [0, 0]
    assert len(again.prefixes) == 1


def test_samples_are_requests_of_one_prompt_that_arrive_together() -> None:
    load = sampled(prompts(10, 20), 3, np.array([1, 2, 3, 4, 5, 6]))
    assert load.arrival_ns.tolist() == [0, 0, 0, 1, 1, 1]
    assert load.prompt_tokens.tolist() == [10, 10, 10, 20, 20, 20]
    assert load.output_tokens.tolist() == [1, 2, 3, 4, 5, 6]
    assert load.prefix.tolist() == [0, 0, 0, 1, 1, 1]
    assert load.prefixes.tokens.tolist() == [10, 20]


def test_distinct_prompts_repeat_in_turn() -> None:
    load = load_of(workload(distinct_prompts=3, requests=8))
    assert load.prefix.tolist() == [0, 1, 2, 0, 1, 2, 0, 1]
    assert load.prefixes.tokens[load.prefix].tolist() == load.prompt_tokens.tolist()
    assert len(set(load.output_tokens.tolist())) > 3  # outputs are drawn each time


def test_lengthened_prompts_are_told() -> None:
    asked = workload(prefix={"groups": 2, "tokens": 20}, requests=100)
    drawn = traffic(asked, 0, Path())
    without = load_of(workload(requests=100)).prompt_tokens
    short = int((without <= 20).sum())
    assert drawn.description.endswith(
        f"; prompts lengthened to begin with what they share: {short}"
    )
    assert drawn.load.prompt_tokens.tolist() == np.maximum(without, 21).tolist()


def test_a_traffic_tells_its_samples_and_counts_each_request_once() -> None:
    drawn = traffic(workload(samples=4, requests=50, arrival="constant"), 0, Path())
    assert (drawn.samples, len(drawn.load)) == (4, 200)
    assert drawn.rate_rps == pytest.approx(4.0)
    assert drawn.description.startswith("50 requests over 12.2 s (4/s), 4 samples each, prompts ")
    assert len(set(drawn.load.output_tokens[:4].tolist())) > 1
    alone = load_of(workload(requests=50, arrival="constant"))
    assert drawn.load.output_tokens[::4].tolist() == alone.output_tokens.tolist()


def test_too_many_samples_are_refused() -> None:
    why = "workload: 1,000,000 requests of 1,024 samples are more than 100,000,000"
    with pytest.raises(SpecError, match=f"^{re.escape(why)}$"):
        traffic(workload(samples=1024, requests=10**6), 0, Path())


def test_priorities_have_their_shares() -> None:
    load = load_of(workload(priority_shares=[1, 0, 3], requests=4000))
    counts = np.bincount(load.priority)
    # Binomial with p = 1/4: standard deviation 27.
    assert abs(counts[0] - 1000) < 140
    assert counts[1] == 0
    assert counts[2] == 4000 - counts[0]


def test_a_session_has_one_priority() -> None:
    load = load_of(workload(priority_shares=[1, 1], sessions={"turns": 4}, requests=402))
    for session in range(100):
        assert len(set(load.priority[4 * session : 4 * session + 4].tolist())) == 1
    assert set(load.priority.tolist()) == {0, 1}


@given(
    groups=st.integers(1, 5),
    tokens=st.integers(1, 45),
    distinct=st.none() | st.integers(1, 9),
    samples=st.integers(1, 3),
    seed=st.integers(0, 5),
)
@settings(max_examples=50, deadline=None)
def test_whatever_is_shared_the_simulator_accepts_it(
    groups: int, tokens: int, distinct: int | None, samples: int, seed: int
) -> None:
    asked = workload(
        prefix={"groups": groups, "tokens": tokens},
        distinct_prompts=distinct,
        samples=samples,
        requests=20,
    )
    load = load_of(asked, seed)
    assert len(load) == 20 * samples
    assert load.prompt_tokens.min() > tokens
    chain = load.prefix
    while (above := load.prefixes.parent[chain]).max() >= 0:
        chain = np.where(above >= 0, above, chain)
    assert (load.prefixes.tokens[chain] == tokens).all()
    assert len(np.unique(chain)) <= groups
