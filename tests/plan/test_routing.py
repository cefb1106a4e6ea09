import dataclasses

import numpy as np
import pytest

from apex_opt.cost.transfer import transfer
from apex_opt.errors import CallError
from apex_opt.plan.by_hand import Wish, from_wish
from apex_opt.plan.routing import require_caches, routing
from apex_opt.sim.load import Load
from apex_opt.sim.member import Routing
from tests.small_specs import TABLES, spec

TWO_NODES = TABLES["pools"].replace("nodes = 1", "nodes = 2")
TWO_POOLS = TABLES["pools"] + '\n[[pools]]\nname = "other"\ndevice = "h100-sxm-80gb"'


def roles(asked, prefill, decode):
    return (
        *from_wish(asked, prefill, 560, "prefill"),
        *from_wish(asked, decode, 560, "decode"),
    )


def test_replicas_that_do_all_move_no_cache():
    asked = spec(search="seed = 5")
    parts = from_wish(asked, Wish(tensor=1), 560)
    assert routing(asked, parts, "random") == Routing("random", 5, 0, 0)


def test_the_seed_of_the_traffic_is_that_of_chance():
    asked = spec(workload=TABLES["workload"] + "\nseed = 9")
    assert routing(asked, from_wish(asked, Wish(tensor=1), 560), "random").seed == 9


@pytest.mark.parametrize(
    ("pools", "pool", "same_node"),
    [(TABLES["pools"], "h100", True), (TWO_NODES, "h100", False), (TWO_POOLS, "other", False)],
)
def test_caches_take_the_link_of_a_pool_with_one_node_else_the_network(pools, pool, same_node):
    asked = spec(pools=pools)
    parts = roles(asked, Wish(tensor=1), Wish(tensor=1, pool=pool))
    way = transfer(*(p.candidate.shape for p in parts), same_node=same_node)
    found = routing(asked, parts, "round_robin")
    assert found.token_fs == round(way.token_s * 1e15)
    assert found.latency_ns == round(way.begin_s * 1e9)


def test_caches_that_are_spread_unlike_do_not_move():
    tables = {"model": 'name = "qwen3-30b-a3b"', "parallelism": "expert = 1"}
    asked = spec(pools='name = "p"\ndevice = "h100-sxm-80gb"\nnodes = 2', **tables)
    parts = roles(asked, Wish(tensor=8), Wish(tensor=8, context=2))
    with pytest.raises(CallError) as caught:
        routing(asked, parts, "round_robin")
    assert str(caught.value) == (
        "prefill has context = 1, decode 2; a cache moves as it is: "
        "write the same `context` for both"
    )


def test_a_network_of_no_use_is_refused():
    asked = spec(pools=TWO_NODES, network="bandwidth_gbps = 0.5")
    with pytest.raises(CallError) as caught:
        routing(asked, roles(asked, Wish(tensor=1), Wish(tensor=1)), "round_robin")
    # 131,072 bytes at 0.05 GB/s.
    assert str(caught.value) == (
        "network: the cache of one token takes 2.62 ms to move, too slow for prefill and decode "
        "on different replicas"
    )


def test_many_sessions_on_many_replicas_with_prefix_caches_are_refused_where_they_meet():
    asked = spec(engine="prefix_caching = true")
    (part,) = from_wish(asked, Wish(tensor=1), 560)
    load = Load(*[np.broadcast_to(np.int64(1), 70_000_000)] * 3)
    require_caches(load, [part], "least_kv")
    load = dataclasses.replace(load, after=np.broadcast_to(np.int64(-1), 70_000_000))
    require_caches(load, [part], "round_robin")
    with pytest.raises(CallError) as caught:
        require_caches(load, [part], "least_kv")
    assert str(caught.value) == (
        "workload.requests: 70,000,000 requests are too many for the prefix caches of 4 replicas "
        "that depend on each other; ask for 50,000,000 or less, or write `prefix_caching = false` "
        "under [engine]"
    )
    bare = dataclasses.replace(
        part,
        candidate=from_wish(spec(engine="prefix_caching = false"), Wish(tensor=1), 560)[
            0
        ].candidate,
    )
    require_caches(load, [bare], "least_kv")
