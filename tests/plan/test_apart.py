from functools import partial

import numpy as np
import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st

from apex_opt.plan.apart import joined
from apex_opt.plan.features import FEATURES, Least, features
from apex_opt.plan.optimistic import optimistic, value
from apex_opt.plan.routing import moving
from apex_opt.sim.fleet import play_fleet
from apex_opt.sim.member import Member, Routing
from apex_opt.sim.replica import EndlessRunError
from apex_opt.spec.pools import Network
from apex_opt.spec.spec import Spec
from tests.plan.test_optimistic import (
    ENGINES,
    RANKS,
    RELEASES,
    SENT,
    SHAPES,
    UNLIKE,
    candidate,
    load,
    loads,
    taken,
)

ROUTERS = ["round_robin", "random", "least_outstanding", "least_kv", "prefix_affinity"]
SLACK = 1 + 1e-9
WHOLE = {"read", "heard"}
"""Encoder-decoder models: what their encoder has read does not move."""


def bounded(both, requests):
    """The spec of two replicas, the features of requests, and the bounds that know of both."""
    spec = Spec.model_construct(pools=(both[0].shape.pool,))
    least = Least(any(c.rules.prefix_caching for c in both), max(c.rules.drafts for c in both))
    traffic = features(requests, both[0].rules.max_model_tokens, both[0].steps.window_tokens, least)
    return spec, traffic, joined(spec, both, [optimistic(c, traffic) for c in both], traffic)


def played(spec, both, requests, counts=(1, 1), router="round_robin"):
    way = moving(spec, *both)
    routing = Routing(router, 0, round(way.begin_s * 1e9), round(way.token_s * 1e15))
    members = [
        Member(c.rules, c.steps, n, 1, c.role, c.shape.attention_data)
        for c, n in zip(both, counts, strict=True)
    ]
    return play_fleet(requests, members, routing=routing)


@settings(max_examples=150, deadline=None)
@given(
    name=st.sampled_from(sorted({*SHAPES, *RANKS, *UNLIKE} - WHOLE)),
    engines=st.tuples(ENGINES, ENGINES),
    spares=st.tuples(*[st.sampled_from([0, 1, 8, 4000])] * 2),
    release=st.sampled_from(RELEASES),
    requests=SENT | loads(),
    counts=st.tuples(*[st.sampled_from([1, 1, 2])] * 2),
    router=st.sampled_from(ROUTERS),
    gbps=st.sampled_from([5.0, 400.0]),
)
def test_no_prefill_or_decode_beats_the_bounds_of_its_role(
    name, engines, spares, release, requests, counts, router, gbps
):
    network = Network(bandwidth_gbps=gbps)
    blocks = engines[0]["block_size"]
    both = [
        candidate(name, {**engine, "block_size": blocks}, spare, release, role, network)
        for engine, spare, role in zip(engines, spares, ("prefill", "decode"), strict=True)
    ]
    requests = taken(requests, both[0])
    spec, traffic, bounds = bounded(both, requests)
    try:
        log = played(spec, both, requests, counts, router)
    except EndlessRunError:
        reject()
    assert (log.log.status == 0).all()
    run_ns = int(log.log.last_ns.max() - log.log.arrival_ns.min())
    stages = both[0].steps.stages
    for k, (c, b, totals) in enumerate(zip(both, bounds, log.members, strict=True)):
        own = optimistic(c, traffic)
        assert max(value(row, traffic.totals) for row in own.busy_ns) <= totals.busy_ns * SLACK
        places = counts[k] * c.shape.attention_data
        for row in b.busy_ns:
            assert value(row, traffic.totals) <= places * run_ns * SLACK
        assert value(b.energy_j, traffic.totals) <= totals.energy_j * SLACK
        assert (b.ttft_ns <= log.log.first_ns - log.log.arrival_ns).all()
        assert (b.decode_ns <= log.log.last_ns - log.log.first_ns).all()
    assert stages == both[1].steps.stages
    e2e = log.log.last_ns - log.log.arrival_ns
    assert sum(value(b.e2e_ns, traffic.totals) for b in bounds) <= e2e.sum() * SLACK


ENGINE = {
    "max_num_seqs": 8,
    "max_num_batched_tokens": 256,
    "block_size": 16,
    "async_scheduling": False,
    "graph_tokens": 0,
    "chunked_prefill": True,
    "prefix_caching": False,
}
PLAIN = partial(candidate, "dense", ENGINE, 4000, ("vllm", "0.19"))
SLOW = Network(bandwidth_gbps=5)


def test_a_lone_request_meets_its_floor_and_its_cache_moves():
    both = [PLAIN("prefill", SLOW), PLAIN("decode", SLOW)]
    requests = load([0], [(160, 2)], 0)
    spec, _, bounds = bounded(both, requests)
    log = played(spec, both, requests).log
    first = int(log.first_ns[0] - log.arrival_ns[0])
    way = moving(spec, *both)
    moved = 1e9 * (way.begin_s + 160 * way.token_s)
    assert first - moved / 10 < bounds[0].ttft_ns[0] <= first
    assert bounds[1].ttft_ns is not bounds[0].ttft_ns
    assert bounds[1].ttft_ns[0] == bounds[0].ttft_ns[0]
    assert bounds[0].decode_ns[0] == bounds[1].decode_ns[0] > 0


def test_a_link_is_busy_with_every_cache_that_leaves_over_it():
    both = [PLAIN("prefill", SLOW), PLAIN("decode", SLOW)]
    requests = load(list(range(12)), [(160, 2)] * 12, 0)
    _, traffic, bounds = bounded(both, requests)
    way = moving(Spec.model_construct(pools=(both[0].shape.pool,)), *both)
    link = 12e9 * (way.begin_s + 160 * way.token_s)
    assert value(bounds[0].busy_ns[-1], traffic.totals) == pytest.approx(link, rel=1e-4)


def test_what_one_token_takes_moves_no_cache():
    both = [PLAIN("prefill", SLOW), PLAIN("decode", SLOW)]
    _, _, bounds = bounded(both, load(list(range(12)), [(160, 2), (160, 1)], 0))
    assert bounds[0].ttft_ns[0] > bounds[0].ttft_ns[1]
    alone = optimistic(both[0], bounded(both, load([0], [(160, 1)], 0))[1])
    assert bounds[0].busy_ns == alone.busy_ns


def test_roles_have_the_coefficients_of_their_own_features():
    prompts = {"requests", "prompt", "pairs", "windowed"}
    requests = load(list(range(12)), [(160, 20)] * 12, 0)
    both = [PLAIN("prefill", SLOW), PLAIN("decode", SLOW)]
    _, _, bounds = bounded(both, requests)
    for b, mine in zip(bounds, (prompts, set(FEATURES) - prompts), strict=True):
        for row in (*b.busy_ns, b.energy_j, b.e2e_ns):
            assert {f for f, x in zip(FEATURES, row, strict=True) if x} <= mine


def test_of_several_replicas_the_fastest_one_counts_for_the_other_role():
    fast, slow = (
        PLAIN("decode", SLOW),
        candidate("dense", {**ENGINE, "graph_tokens": 0}, 4000, ("vllm", "0.6"), "decode", SLOW),
    )
    first = PLAIN("prefill", SLOW)
    requests = load([0], [(160, 20)], 0)
    spec, traffic, _ = bounded([first, fast], requests)
    three = [first, slow, fast]
    bounds = joined(spec, three, [optimistic(c, traffic) for c in three], traffic)
    floors = [bounds[1].decode_ns[0], bounds[2].decode_ns[0]]
    assert floors[0] != floors[1]
    assert bounds[0].decode_ns[0] == min(floors)
    assert np.array_equal(bounds[1].ttft_ns, bounds[2].ttft_ns)
