import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apex_opt.cost.collectives import collective
from apex_opt.cost.experts import exchange, experts, handling_seconds, read_share, touched, visits
from apex_opt.cost.memory import fit
from apex_opt.cost.operators import Experts, layer
from apex_opt.cost.rates import Rates
from apex_opt.cost.steps import step_table
from tests.shapes import shape

MIXTRAL = Experts(total=8, local=8, ranks=1, top_k=2, weights=3 * 4096 * 14336)
SPREAD = Experts(total=128, local=16, ranks=8, top_k=8, weights=3 * 4096 * 1536)
TOKENS = np.array([0.0, 1.0, 16.0, 4096.0])


def test_one_token_touches_the_experts_it_visits_a_large_batch_all():
    # 16 tokens visit 32 times: 8 x 32 / (8 - 2 + 32).
    assert touched(MIXTRAL, TOKENS).tolist() == pytest.approx([0, 2, 8 * 32 / 38, 8], abs=0.01)


def test_of_two_devices_the_fuller_reads_what_chance_adds_to_half():
    spread = dataclasses.replace(MIXTRAL, local=4, ranks=2)
    # One token visits 2 of 8: one a device, sd sqrt(4 x 1/4 x 3/4), z(1.625 / 2.25) = 0.589.
    found = touched(spread, TOKENS)
    assert found[:2].tolist() == pytest.approx([0, 1 + 0.589 * 0.75**0.5], abs=1e-3)
    assert found[3] == pytest.approx(4, abs=0.1)


def test_chances_of_a_beta_distribution_give_the_share_that_is_read():
    # Of density b (1 - p)^(b - 1), b = 15: the mean of 1 - (1 - p)^n by a sum over its quantiles.
    chance = 1 - (1 - (np.arange(100_000) + 0.5) / 100_000) ** (1 / 15)
    assert chance.mean() == pytest.approx(8 / 128, rel=1e-3)
    for n in (1.0, 10.0, 300.0):
        expected = (1 - (1 - chance) ** n).mean()
        assert read_share(8, 128, np.array(n)) == pytest.approx(expected, rel=1e-3)


def test_where_a_token_visits_all_experts_all_are_read():
    assert read_share(8, 8, TOKENS).tolist() == [0, 1, 1, 1]


@settings(max_examples=50, deadline=None)
@given(tokens=st.integers(0, 5000), ranks=st.sampled_from([1, 2, 4, 8, 16]))
def test_the_fullest_device_reads_no_less_than_the_mean_and_no_more_than_it_holds(tokens, ranks):
    spread = dataclasses.replace(SPREAD, local=128 // ranks, ranks=ranks)
    found = touched(spread, np.array([float(tokens)]))[0]
    mean = 128 // ranks * (8 * tokens / (120 + 8 * tokens))
    assert mean - 1e-9 <= found <= 128 // ranks


def test_a_few_tokens_are_served_slower_by_whole_experts_than_by_split_ones():
    split, whole = (shape("mixtral-8x7b", tensor=8, expert=n) for n in (1, 8))
    few = np.array([1.0])
    one, other = (
        experts(Rates(s), layer(s.model.layers["moe"], s).experts, few).seconds[0]
        for s in (split, whole)
    )
    assert one < other


def test_a_device_that_holds_all_experts_computes_every_visit():
    assert visits(MIXTRAL, TOKENS, skew=3.0).tolist() == [0, 2, 32, 8192]


def test_the_fullest_of_eight_devices_has_the_mean_and_what_chance_adds():
    # z((8 - 3/8) / (8 + 1/4)) = 1.434.
    expected = 4096 + 1.434 * math.sqrt(4096)
    assert visits(SPREAD, TOKENS, skew=0.0)[3] == pytest.approx(expected, abs=1)


def test_skew_adds_a_share_of_the_mean():
    even, skewed = (visits(SPREAD, TOKENS, skew)[3] for skew in (0.0, 0.5))
    assert skewed - even == pytest.approx(2048)


def test_unequal_popularity_loads_the_fullest_of_eight_devices_by_a_third_more():
    shares = np.random.default_rng(0).dirichlet(np.ones(128), 20_000).reshape(-1, 8, 16).sum(axis=2)
    many = visits(SPREAD, np.array([1e9]))[0] / 1e9
    # Sums of sixteen are skewed: the normal quantile is 3.5 % short of their largest.
    assert many == pytest.approx(8 * shares.max(axis=1).mean(), rel=0.04)


def test_the_fullest_of_two_devices_takes_less_of_popular_experts_than_of_eight():
    two = dataclasses.replace(SPREAD, local=64, ranks=2)
    over = [visits(e, np.array([1e9]))[0] * e.ranks / 8e9 for e in (two, SPREAD)]
    assert over == pytest.approx([1.05, 1.33], abs=0.01)


def test_the_engine_adds_time_for_each_layer_and_each_visit():
    s = shape()
    own = s.release.overheads.model_copy(update={"expert_layer_us": 5.0, "expert_visit_ns": 10.0})
    s = dataclasses.replace(s, release=s.release.model_copy(update={"overheads": own}))
    # 16 tokens visit 2 experts each: 5 us + 32 x 10 ns.
    assert handling_seconds(s, MIXTRAL, TOKENS)[2] == pytest.approx(5.32e-6)


def test_a_device_without_ranks_handles_all_visits_of_its_tokens_one_of_several_ranks_its_own():
    own = shape().release.overheads.model_copy(update={"expert_visit_ns": 10.0})
    usual = dataclasses.replace(
        shape(), release=shape().release.model_copy(update={"overheads": own})
    )
    ranks = dataclasses.replace(usual, attention_data=8)
    layer_s = own.expert_layer_us * 1e-6
    alone, shared = (handling_seconds(s, SPREAD, TOKENS)[2] - layer_s for s in (usual, ranks))
    assert alone == pytest.approx(16 * 8 * 10e-9)
    assert shared == pytest.approx(visits(SPREAD, TOKENS)[2] * 10e-9)


@settings(max_examples=50, deadline=None)
@given(tokens=st.integers(1, 10_000), skew=st.floats(0, 100))
def test_no_device_computes_more_than_all_its_experts_for_every_token(tokens, skew):
    found = visits(SPREAD, np.array([float(tokens)]), skew)[0]
    assert tokens <= found <= 8 * tokens


def test_skewed_routing_makes_a_step_longer():
    usual = shape("qwen3-235b-a22b", tensor=8, expert=8)
    even, skewed = (dataclasses.replace(usual, expert_skew=skew) for skew in (0.0, 1.0))
    at_rest, busy = np.array([0.0]), np.array([4096.0])
    assert experts(Rates(skewed), SPREAD, busy).seconds > experts(Rates(even), SPREAD, busy).seconds
    assert experts(Rates(even), SPREAD, at_rest).seconds == 0


def test_routing_takes_two_short_kernels():
    s = shape("mixtral-8x7b")
    floor_us = s.pool.device.efficiency.experts["bf16"].floor_us
    one = dataclasses.replace(MIXTRAL, weights=1)
    token = np.array([1.0])
    seconds = experts(Rates(s), one, token).seconds[0] - handling_seconds(s, one, token)[0]
    assert seconds * 1e6 == pytest.approx(floor_us + 6, abs=0.1)


def ranks(n, **knobs):
    return shape("qwen3-235b-a22b", attention_data=n, **knobs)


def test_ranks_exchange_their_tokens_and_one_rank_does_not():
    one, two = ranks(1), ranks(2, expert=2)
    assert exchange(one, SPREAD, TOKENS).tolist() == [0, 0, 0, 0]
    # 2 all-to-alls of 4,096 tokens of 4,096 values in 16 bits, once to each of 2 devices: half of
    # it stays where it is.
    sent = collective(two, "all_to_all", 2, np.array([4096.0 * 4096 * 2 * 2]))
    assert exchange(two, SPREAD, TOKENS)[3] == pytest.approx(2 * float(sent[0]))


def test_ranks_that_slice_their_experts_gather_all_tokens_and_scatter_the_sums():
    sliced = ranks(4)
    size = np.array([4 * 16 * 4096 * 2.0])
    both = [collective(sliced, name, 4, size)[0] for name in ("all_gather", "reduce_scatter")]
    assert exchange(sliced, MIXTRAL, TOKENS)[2] == pytest.approx(sum(both))


def test_ranks_hold_attention_whole_and_their_part_of_the_experts():
    one, eight = ranks(1), ranks(8, expert=8)
    kind = next(iter(one.model.layers.values()))
    alone, shared = layer(kind, one), layer(kind, eight)
    assert alone.attention == shared.attention
    assert alone.gemms == shared.gemms
    assert (shared.experts.local, shared.experts.ranks) == (16, 8)
    assert alone.experts.local == 128


def test_a_step_of_ranks_takes_longer_than_the_experts_of_one_alone():
    eight = ranks(8, expert=8)
    assert fit(eight).blocks > 0
    alone = dataclasses.replace(eight, attention_data=1)
    table, lone = step_table(eight), step_table(alone)
    assert (table.decode_ns[0, 64:] > lone.decode_ns[0, 64:]).all()
    assert table.idle_w == 8 * lone.idle_w
