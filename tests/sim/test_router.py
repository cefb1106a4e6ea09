from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apex_opt.sim.router import by_class, round_robin

WEIGHTS = st.lists(st.integers(0, 7), min_size=1, max_size=6).filter(any)


def test_weights_five_one_one_are_dealt_as_nginx_does() -> None:
    # The example of the commit that brought the algorithm to nginx: a a b a c a a.
    assert round_robin(7, [5, 1, 1]).tolist() == [0, 0, 1, 0, 2, 0, 0]


def test_equal_weights_take_turns() -> None:
    assert round_robin(5, [3, 3]).tolist() == [0, 1, 0, 1, 0]


def test_weight_zero_gets_nothing() -> None:
    assert round_robin(4, [0, 1, 2]).tolist() == [2, 1, 2, 2]


@pytest.mark.parametrize("weights", [[0, 0], [1, -1], []])
def test_weights_without_a_positive_sum_are_an_error(weights: list[int]) -> None:
    message = f"weights: must not be negative nor all zero, are {weights}"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        round_robin(3, weights)


@given(WEIGHTS, st.integers(1, 3))
@settings(max_examples=60, deadline=None)
def test_each_round_deals_every_replica_its_weight(weights: list[int], rounds: int) -> None:
    choice = round_robin(sum(weights) * rounds, weights)
    dealt = np.apply_along_axis(np.bincount, 1, choice.reshape(rounds, -1), minlength=len(weights))
    assert dealt.tolist() == [weights] * rounds


@given(WEIGHTS, st.integers(0, 40))
@settings(max_examples=60, deadline=None)
def test_no_replica_is_ever_a_whole_request_ahead_of_the_others_in_a_two_way_split(
    weights: list[int], n: int
) -> None:
    two = [sum(weights), 1]
    share = np.bincount(round_robin(n, two), minlength=2)[0]
    assert abs(share - n * two[0] / sum(two)) < 1


def dealt_one_by_one(classes: list[int], weights: list[list[int]]) -> list[int]:
    """Deal requests in plain Python: credit for all of the class, the richest pays for all."""
    credit = [[0] * len(shares) for shares in weights]
    choice = []
    for one in classes:
        own = credit[one] = [c + w for c, w in zip(credit[one], weights[one], strict=True)]
        best = own.index(max(own))
        own[best] -= sum(weights[one])
        choice.append(best)
    return choice


@given(st.data(), st.integers(1, 4), st.integers(1, 3))
@settings(max_examples=60, deadline=None)
def test_each_class_is_dealt_by_its_own_weights(
    data: st.DataObject, replicas: int, count: int
) -> None:
    shares = st.lists(st.integers(0, 5), min_size=replicas, max_size=replicas).filter(any)
    weights = data.draw(st.lists(shares, min_size=count, max_size=count))
    classes = data.draw(st.lists(st.integers(0, count - 1), max_size=60))
    choice = by_class(np.array(classes, np.int64), weights)
    assert choice.tolist() == dealt_one_by_one(classes, weights)


@given(WEIGHTS, st.integers(0, 40))
@settings(max_examples=60, deadline=None)
def test_one_class_is_dealt_like_no_classes(weights: list[int], n: int) -> None:
    assert by_class(np.zeros(n, np.int64), [weights]).tolist() == round_robin(n, weights).tolist()
