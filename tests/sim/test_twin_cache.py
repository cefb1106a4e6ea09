"""The twin's cache of prefixes, worked out by hand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from apex_opt.sim.engine import EngineRules
from apex_opt.sim.load import Load, Prefixes
from apex_opt.sim.steps import StepTable
from tests.sim.by_hand import alike, column, load, session, steps_of
from tests.sim.twin import Twin
from tests.sim.twin_cache import Cache, Node, paths

Flat = Callable[..., StepTable]


# ---- the prefix cache


def test_a_second_prompt_hits_the_full_blocks_of_the_first(
    caching: EngineRules, flat: Flat
) -> None:
    # 10 tokens in common: two full blocks, 8 tokens; the third holds private tokens.
    twin = Twin(alike((0, 12, 1), (500, 12, 1), shared=10), caching, flat()).play()
    assert twin.hit_tokens == 8
    assert steps_of(twin) == [[(0, 12)], [(1, 4)]]
    assert twin.flown[1].history == 8
    assert twin.flown[1].pairs == 9 + 10 + 11 + 12


def test_a_prompt_hits_what_runs_before_it_in_the_same_batch(
    caching: EngineRules, flat: Flat
) -> None:
    twin = Twin(alike((0, 12, 1), (0, 12, 1), shared=10), caching, flat()).play()
    assert steps_of(twin) == [[(0, 12), (1, 4)]]
    assert twin.peak_blocks == 4  # 12 tokens, and of the second one block


def test_the_last_token_of_a_prompt_is_always_computed(caching: EngineRules, flat: Flat) -> None:
    twin = Twin(alike((0, 8, 1), (500, 8, 1), shared=8), caching, flat()).play()
    assert twin.hit_tokens == 4
    assert steps_of(twin)[1] == [(1, 4)]
    assert twin.peak_blocks == 2  # the second computes the last block again, in its place


def test_without_caching_nothing_is_hit(rules: EngineRules, flat: Flat) -> None:
    twin = Twin(alike((0, 8, 1), (500, 8, 1), shared=8), rules, flat()).play()
    assert (twin.hit_tokens, steps_of(twin)) == (0, [[(0, 8)], [(1, 8)]])


def test_a_second_turn_hits_the_reply_before_it(caching: EngineRules, flat: Flat) -> None:
    # 6 + 7 - 1 = 12 tokens were cached, the last 6 of them sampled and fed back.
    twin = Twin(session((0, 6, 7), (0, 15, 1), think=40), caching, flat()).play()
    assert twin.hit_tokens == 12
    assert steps_of(twin)[-1] == [(1, 3)]
    assert twin.requests[1].arrival == 100 + 6 * 10 + 40


def test_a_preempted_request_finds_its_own_blocks(caching: EngineRules, flat: Flat) -> None:
    # Both want a third block at once and there are 5: the second gives way with 8 tokens cached,
    # 1 of them sampled; then it computes its 9th token, and has hit the 8 before.
    rules = replace(caching, blocks=5, full_sequence_gate=False)
    twin = Twin(load((0, 7, 3), (0, 7, 3)), rules, flat()).play()
    assert [r.preempted for r in twin.requests] == [0, 1]
    assert steps_of(twin)[2:4] == [[(0, 1)], [(1, 1)]]
    assert twin.hit_tokens == 8


def test_the_longest_unused_node_is_evicted_from_its_deepest_block() -> None:
    path = paths(alike((0, 12, 1), shared=8))[0]
    root, leaf = path
    cache = Cache(4, 0)
    cache.use(path)
    assert cache.enter(path, 0, 12) == [(root, 1), (root, 2), (leaf, 3)]
    cache.leave(path)
    assert cache.unused == [leaf, root]
    cache.shrink(2)
    assert cache.here == {(root, 1), (root, 2)}
    cache.shrink(1)
    assert cache.here == {(root, 1)}
    assert cache.pins(path) == 1
    cache.use(path)
    assert (cache.unused, cache.pins(path), cache.in_use()) == ([], 0, 1)


def test_a_node_in_use_is_not_evicted_and_a_used_one_goes_to_the_end() -> None:
    one, two, three = paths(load((0, 4, 1), (0, 4, 1), (0, 4, 1)))
    cache = Cache(4, 0)
    for path in (one, two, three):
        cache.use(path)
        cache.enter(path, 0, 4)
    for path in (one, two):
        cache.leave(path)
    cache.use(one)
    cache.leave(one)
    assert cache.unused == [two[0], one[0]]
    cache.shrink(1)
    assert cache.here == {(three[0], 1)}


def test_a_block_belongs_to_the_node_of_its_last_token() -> None:
    tree = Prefixes(column(-1, 0), column(3, 9))
    path = paths(load((0, 12, 1), prefix=column(1), prefixes=tree))[0]
    assert [(node.start, node.end) for node in path] == [(0, 3), (3, 9), (9, 13)]
    blocks = [Cache(4, 0).block(path, j) for j in (1, 2, 3)]
    assert [path.index(node) for node, _ in blocks] == [1, 1, 2]


def test_admission_counts_the_unused_blocks_that_it_will_use(
    caching: EngineRules, flat: Flat
) -> None:
    # 4 blocks: request 0 leaves 2 of its prompt in the cache, request 1 holds 2. Request 2 would
    # use these 2 and take 1 more, but no more than 2 are free: it waits for the end of 1.
    rules = replace(caching, blocks=4)
    tree = Prefixes(column(-1), column(8))
    three = load((0, 8, 1), (150, 7, 2), (200, 9, 1), prefix=column(0, -1, 0), prefixes=tree)
    twin = Twin(three, rules, flat()).play()
    assert twin.hit_tokens == 8
    assert steps_of(twin) == [[(0, 8)], [(1, 7)], [(1, 1)], [(2, 1)]]


# ---- host memory


def test_what_the_cache_has_lost_is_fetched_from_the_host(caching: EngineRules, flat: Flat) -> None:
    # Request 1 needs all 3 blocks, so the 2 of the shared prefix move to the host; request 2
    # loads them, 7 ns each, and computes its last token.
    rules = replace(caching, blocks=3, host_blocks=9, host_block_ns=7)
    tree = Prefixes(column(-1), column(8))
    three = load((0, 8, 1), (150, 12, 1), (300, 9, 1), prefix=column(0, -1, 0), prefixes=tree)
    twin = Twin(three, rules, flat()).play()
    assert (twin.hit_tokens, twin.loaded_blocks) == (8, 2)
    assert steps_of(twin)[2] == [(2, 1)]
    assert twin.requests[2].times == [300 + 100 + 2 * 7]
    without = Twin(three, replace(rules, host_blocks=0), flat()).play()
    assert (without.hit_tokens, without.loaded_blocks) == (0, 0)


def test_the_host_drops_the_deepest_block_of_the_oldest() -> None:
    old, new = Node(0, 8), Node(0, 8)
    cache = Cache(4, 3)
    cache.keep(old, 2)
    cache.keep(new, 1)
    assert (len(cache.host), cache.host_order) == (3, [old, new])
    cache.keep(new, 2)
    assert cache.host == {(old, 1), (new, 1), (new, 2)}
    cache.touch([old])
    assert cache.host_order == [new, old]
    cache.keep(Node(0, 4), 1)
    assert cache.host_order[:2] == [new, old]
    assert cache.host >= {(old, 1), (new, 1)}


# ---- reading the cache


def test_tokens_found_in_the_cache_are_read_at_their_price(
    caching: EngineRules, flat: Flat
) -> None:
    steps = replace(flat(), history_fs=column(2_000_000), history_j=0.5)
    twin = Twin(alike((0, 12, 1), (500, 12, 1), shared=8), caching, steps).play()
    assert twin.requests[1].times == [500 + 100 + 2 * 8]
    assert twin.flown[1].joules == pytest.approx(3e-6 + 0.5 * 8)


def test_beside_prompts_a_cached_token_may_cost_more(rules: EngineRules, flat: Flat) -> None:
    # The first request has 5 cached tokens when it decodes beside the prompt of the second.
    load = Load(column(0, 105), column(3, 5), column(3, 1))
    steps = replace(flat(), mixed_context_fs=column(2_000_000), mixed_context_j=0.5)
    twin = Twin(load, rules, steps).play()
    assert twin.requests[0].times == [100, 110, 110 + 100 + 2 * 5]
    assert twin.flown[2].joules == pytest.approx(0.5 * 5, abs=1e-5)
