import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apex_opt.cost.experts import experts, touched, visits
from apex_opt.cost.operators import Experts
from apex_opt.cost.rates import Rates
from tests.shapes import shape

MIXTRAL = Experts(total=8, local=8, ranks=1, top_k=2, weights=3 * 4096 * 14336)
SPREAD = Experts(total=128, local=16, ranks=8, top_k=8, weights=3 * 4096 * 1536)
TOKENS = np.array([0.0, 1.0, 16.0, 4096.0])


def test_one_token_touches_the_experts_it_visits_a_large_batch_all():
    assert touched(MIXTRAL, TOKENS).tolist() == pytest.approx([0, 2, 8 * (1 - 0.75**16), 8])


def test_a_device_that_holds_all_experts_computes_every_visit():
    assert visits(MIXTRAL, TOKENS, skew=3.0).tolist() == [0, 2, 32, 8192]


def test_the_fullest_of_eight_devices_has_the_mean_and_what_chance_adds():
    mean = 4096.0
    assert visits(SPREAD, TOKENS)[3] == pytest.approx(mean + math.sqrt(2 * mean * math.log(8)))


def test_skew_adds_a_share_of_the_mean():
    assert visits(SPREAD, TOKENS, skew=0.5)[3] - visits(SPREAD, TOKENS)[3] == pytest.approx(2048)


@settings(max_examples=50, deadline=None)
@given(tokens=st.integers(1, 10_000), skew=st.floats(0, 100))
def test_no_device_computes_more_than_all_its_experts_for_every_token(tokens, skew):
    found = visits(SPREAD, np.array([float(tokens)]), skew)[0]
    assert tokens <= found <= 8 * tokens


def test_skewed_routing_makes_a_step_longer():
    even = shape("qwen3-235b-a22b", tensor=8, expert=8)
    skewed = dataclasses.replace(even, expert_skew=1.0)
    at_rest, busy = np.array([0.0]), np.array([4096.0])
    assert experts(Rates(skewed), SPREAD, busy).seconds > experts(Rates(even), SPREAD, busy).seconds
    assert experts(Rates(even), SPREAD, at_rest).seconds == 0


def test_routing_takes_two_short_kernels():
    s = shape("mixtral-8x7b")
    floor_us = s.pool.device.efficiency.experts["bf16"].floor_us
    one = dataclasses.replace(MIXTRAL, weights=1)
    seconds = experts(Rates(s), one, np.array([1.0])).seconds[0]
    assert seconds * 1e6 == pytest.approx(floor_us + 6, abs=0.1)
