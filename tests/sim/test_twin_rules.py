"""The twin against runs worked out by hand: 4 tokens a block, 10 ns to decode, 100 with prompts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings

from apex_opt.sim.check import check
from apex_opt.sim.engine import EngineRules
from apex_opt.sim.load import Load, Prefixes
from apex_opt.sim.steps import StepTable
from tests.sim.cases import Case, cases
from tests.sim.twin import LivelockError, Twin
from tests.sim.twin_cache import Cache, Node, paths
from tests.sim.twin_drafts import mix

Flat = Callable[..., StepTable]


def column(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


def load(*requests: tuple[int, int, int], **more: Any) -> Load:
    """Requests as (arrival, prompt, output)."""
    return Load(*np.array(requests, np.int64).T.copy(), **more)


def alike(*requests: tuple[int, int, int], shared: int) -> Load:
    """The same, their first `shared` tokens in common."""
    tree = Prefixes(column(-1), column(shared))
    return load(*requests, prefix=column(*[0] * len(requests)), prefixes=tree)


def session(*requests: tuple[int, int, int], think: int = 0, **more: Any) -> Load:
    """Turns of one session."""
    n = len(requests)
    after, think_ns = column(*range(-1, n - 1)), column(*[think] * n)
    return load(*requests, after=after, think_ns=think_ns, **more)


@pytest.fixture
def caching(rules: EngineRules) -> EngineRules:
    return replace(rules, prefix_caching=True, max_batch_tokens=32)


def steps_of(twin: Twin) -> list[list[tuple[int, int]]]:
    """Return of each batch (request, tokens)."""
    return [[(r.index, n) for r, n in batch.parts] for batch in twin.flown]


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


# ---- prompts first


def test_a_prompt_stalls_decoding(rules: EngineRules, flat: Flat) -> None:
    first = replace(rules, prefill_first=True)
    twin = Twin(load((0, 8, 3), (105, 12, 1)), first, flat()).play()
    assert steps_of(twin) == [[(0, 8)], [(0, 1)], [(1, 8)], [(1, 4)], [(0, 1)]]
    assert twin.requests[0].gaps == [10, 210]
    assert [batch.context for batch in twin.flown] == [0, 9, 0, 0, 10]
    together = Twin(load((0, 8, 3), (105, 12, 1)), rules, flat()).play()
    assert together.requests[0].gaps == [10, 100]


def test_a_prompt_without_blocks_stands_still_while_others_decode(
    rules: EngineRules, flat: Flat
) -> None:
    # 5 blocks: the first holds 3 of them, the second has run 8 of 12 tokens and needs its third.
    rules = replace(rules, prefill_first=True, blocks=5, full_sequence_gate=False)
    twin = Twin(load((0, 8, 3), (105, 12, 1)), rules, flat()).play()
    assert steps_of(twin) == [[(0, 8)], [(0, 1)], [(1, 8)], [(0, 1)], [(1, 4)]]
    assert [r.preempted for r in twin.requests] == [0, 0]


# ---- what an admission leaves free


def start(twin: Twin) -> list[int]:
    return [r.start for r in twin.requests]


@pytest.mark.parametrize(("watermark", "second"), [(1, 0), (2, 120)])
def test_a_watermark_stays_free_but_not_where_nobody_runs(
    rules: EngineRules, flat: Flat, watermark: int, second: int
) -> None:
    rules = replace(rules, blocks=3, watermark_blocks=watermark)
    twin = Twin(load((0, 4, 1), (0, 4, 1)), rules, flat()).play()
    assert start(twin) == [0, 100 if second else 0]
    alone = Twin(load((0, 12, 1)), replace(rules, watermark_blocks=9), flat()).play()
    assert start(alone) == [0]


@pytest.mark.parametrize(("blocks", "second"), [(6, 0), (5, 180)])
def test_reserved_output_keeps_the_second_out_instead_of_preempting(
    rules: EngineRules, flat: Flat, blocks: int, second: int
) -> None:
    # 4 + 9 - 1 tokens: 3 blocks each.
    rules = replace(rules, blocks=blocks, reserve_output=True)
    twin = Twin(load((0, 4, 9), (0, 4, 9)), rules, flat()).play()
    assert start(twin) == [0, second]
    assert sum(r.preempted for r in twin.requests) == 0
    assert twin.peak_blocks == (6 if second == 0 else 3)


@pytest.mark.parametrize(("blocks", "second"), [(5, 100), (4, 110), (3, 180)])
def test_the_owed_share_blocks_admission(
    rules: EngineRules, flat: Flat, blocks: int, second: int
) -> None:
    # At 100 the first still owes 8 tokens, at 110 7: half of them is kept, 4 and 3. The second
    # brings 4 + 1, so 9 and 8 tokens: 3 and 2 blocks beside the 2 of the first. With 3 blocks in
    # all it waits for the end of the first.
    rules = replace(rules, blocks=blocks, owed_ppm=500_000, owed_least_ppm=500_000)
    twin = Twin(load((0, 4, 9), (50, 4, 1)), rules, flat()).play()
    assert start(twin)[1] == second


def test_the_owed_share_sinks_with_decoding_steps_and_is_whole_again_after_a_rest(
    rules: EngineRules, flat: Flat
) -> None:
    rules = replace(rules, owed_ppm=900_000, owed_least_ppm=750_000, owed_decay_ppm=100_000)
    twin = Twin(load((0, 4, 3)), rules, flat())
    shares = []
    while twin.schedule():
        twin.land()
        shares.append(twin.owed_ppm)
    assert shares == []  # nothing has arrived yet
    assert twin.wake()
    for _ in range(3):
        assert twin.schedule()
        shares.append(twin.owed_ppm)
        twin.land()
    assert shares == [900_000, 800_000, 750_000]
    assert not twin.wake()
    twin = Twin(load((0, 4, 3), (1000, 4, 1)), rules, flat())
    assert twin.wake()
    while twin.schedule():
        twin.land()
    assert twin.owed_ppm == 750_000
    assert twin.wake()
    assert twin.owed_ppm == 900_000


def test_preemption_raises_the_owed_share(rules: EngineRules, flat: Flat) -> None:
    # Blocks of 1. At 100 the first holds 2 blocks and the second takes 50; they grow to 6 + 54.
    # Then the second gives way. The first has sampled 6 of 60: (6 + 20) / 61 = 0.426229.
    rules = replace(rules, block_tokens=1, blocks=60, max_batch_tokens=64)
    rules = replace(rules, owed_ppm=1, owed_decay_ppm=26_229)
    twin = Twin(load((0, 1, 60), (50, 50, 6)), rules, flat())
    assert twin.wake()
    while not twin.requests[1].preempted:
        assert twin.schedule()
        twin.land()
    assert twin.owed_ppm == 400_000  # the batch had no prompt tokens: once down


# ---- who gives way


def test_the_sequence_with_the_fewest_tokens_sampled_gives_way(
    rules: EngineRules, flat: Flat
) -> None:
    # Blocks of 1. The first comes a step earlier; of the others the second has the longer prompt.
    rules = replace(rules, block_tokens=1, max_batch_tokens=16, full_sequence_gate=False)
    crowd = load((0, 2, 6), (50, 3, 6), (50, 2, 6))
    fewest = Twin(crowd, replace(rules, blocks=8, retract_fewest=True), flat()).play()
    last = Twin(crowd, replace(rules, blocks=8), flat()).play()
    assert steps_of(fewest)[:3] == [[(0, 2)], [(0, 1), (1, 3), (2, 2)], [(0, 1), (2, 1)]]
    assert steps_of(last)[:3] == [[(0, 2)], [(0, 1), (1, 3), (2, 2)], [(0, 1), (1, 1)]]


# ---- memory that is not by the token


def test_window_layers_take_their_blocks_at_admission(rules: EngineRules, flat: Flat) -> None:
    # 20 + 5 - 1 tokens are 6 blocks, of which a window keeps 3, at 0.5 blocks: 2, and 1 of state.
    rules = replace(rules, sequence_blocks=1, token_blocks=0, window_limit=3, window_ppm=500_000)
    assert Twin(load((0, 20, 5)), rules, flat()).play().peak_blocks == 3
    assert Twin(load((0, 20, 5)), replace(rules, token_blocks=1), flat()).play().peak_blocks == 9


# ---- drafts


@pytest.mark.parametrize(("acceptance", "tokens"), [(0, [1, 1, 1, 1, 1]), (1_000_000, [3, 2])])
def test_right_guesses_are_sampled_at_once(
    rules: EngineRules, flat: Flat, acceptance: int, tokens: list[int]
) -> None:
    # After the first token 5 are left: 1 + 2 guesses a step, in the last one less.
    rules = replace(rules, drafts=2, acceptance_ppm=acceptance, max_batch_tokens=12)
    twin = Twin(load((0, 4, 6)), rules, flat()).play()
    assert [batch.rows for batch in twin.flown] == [1, *tokens]
    assert len(twin.requests[0].times) == 6


def test_guesses_are_right_as_often_as_they_should(rules: EngineRules, flat: Flat) -> None:
    # One guess a step: 1.3 tokens a step, 2000 tokens.
    rules = replace(rules, drafts=1, acceptance_ppm=300_000, max_model_tokens=3000, blocks=600)
    twin = Twin(load((0, 4, 2001)), rules, flat()).play()
    assert len(twin.flown) - 1 == pytest.approx(2000 / 1.3, rel=0.03)


def test_a_step_runs_its_guesses_and_never_past_the_output(rules: EngineRules, flat: Flat) -> None:
    rules = replace(rules, drafts=2, max_batch_tokens=12)
    twin = Twin(load((0, 4, 6)), rules, flat()).play()
    # 5 left: 3 tokens, then 3, 3, 2 (2 left: one guess), 1.
    assert [n for ((_, n),) in steps_of(twin)] == [4, 3, 3, 3, 2, 1]
    assert [batch.context for batch in twin.flown] == [0, 7, 8, 9, 9, 9]
    assert [batch.heads for batch in twin.flown] == [1, 3, 3, 3, 2, 1]


def test_guessing_takes_its_time_where_somebody_decodes(rules: EngineRules, flat: Flat) -> None:
    steps = replace(flat(), draft_ns=np.full(65, 5, np.int64))
    rules = replace(rules, drafts=2, acceptance_ppm=1_000_000, max_batch_tokens=12)
    twin = Twin(load((0, 4, 6)), rules, steps).play()
    assert twin.requests[0].times == [100, 115, 115, 115, 130, 130]
    assert twin.requests[0].gaps == [15, 0, 0, 15, 0]


def test_only_accepted_tokens_fill_blocks(caching: EngineRules, flat: Flat) -> None:
    # 4 + 5 - 1 = 8 tokens at the end in both, so that the second turn hits two blocks.
    for acceptance in (0, 1_000_000):
        rules = replace(caching, drafts=3, acceptance_ppm=acceptance)
        twin = Twin(session((0, 4, 5), (0, 12, 1)), rules, flat()).play()
        assert twin.hit_tokens == 8


def test_guesses_are_those_of_splitmix64() -> None:
    # The first number of a splitmix64 stream of seed 0 is known: 0xE220A8397B1DCDAF.
    assert mix(1, 0, 0) == 0xE220A8397B1DCDAF >> 1


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


# ---- all of them together


@given(cases())
@settings(max_examples=150, deadline=None)
def test_every_case_is_sound_and_ends_with_nothing_held(case: Case) -> None:
    check(*case)
    twin = Twin(*case)
    try:
        twin.play()
    except LivelockError:
        return
    assert (twin.running, twin.waiting, twin.free) == ([], [], case[1].blocks)
    assert all(r.rejected or len(r.times) == r.output for r in twin.requests)
    assert all(node.users == 0 for r in twin.requests for node in r.path)
    assert {node for node, _ in twin.cache.here} == set(twin.cache.unused)
    assert len(twin.cache.here) <= case[1].blocks
    assert len(twin.cache.host) <= case[1].host_blocks
    assert twin.peak_blocks <= case[1].blocks


# ---- encoders


def reading(*requests: tuple[int, int, int], read: tuple[int, ...], **more: Any) -> Load:
    """Requests for which an encoder reads so many tokens."""
    return load(*requests, encoder_tokens=column(*read), **more)


def encoder(flat: Flat, each: int = 7, tokens: int = 64) -> StepTable:
    """A table in which the encoder takes `each` ns a token, and 1 ns for ten pairs."""
    ns = each * np.arange(tokens + 1, dtype=np.int64)[None]
    joules = 2.0 * np.arange(tokens + 1)
    return replace(
        flat(tokens=tokens), encoder_ns=ns, encoder_j=joules, encoder_pair_fs=column(100_000)
    )


def test_the_encoder_takes_its_time_in_the_step_of_the_admission(
    rules: EngineRules, flat: Flat
) -> None:
    twin = Twin(reading((0, 4, 3), read=(5,)), rules, encoder(flat)).play()
    # 100 for the prompt, 35 for 5 tokens, 2 for 25 pairs; then 10 a step.
    assert twin.requests[0].times == [137, 147, 157]
    assert [batch.context for batch in twin.flown] == [0, 5, 6]


def test_what_stays_of_it_takes_blocks_and_is_read_in_every_step(
    rules: EngineRules, flat: Flat
) -> None:
    rules = replace(rules, cross_cache=True)
    twin = Twin(reading((0, 4, 3), read=(5,)), rules, encoder(flat)).play()
    assert [batch.context for batch in twin.flown] == [0, 10, 11]
    # Two blocks of 5 tokens beside two of 4 + 3 - 1.
    assert twin.peak_blocks == 4


def test_inputs_of_several_requests_share_the_budget_of_a_step(
    rules: EngineRules, flat: Flat
) -> None:
    # 8 tokens a step: 5 and 3 go together, 5 more wait, what reads nothing does not.
    sent = reading((0, 1, 1), (0, 1, 1), (0, 1, 1), (0, 1, 1), read=(5, 3, 0, 5))
    twin = Twin(sent, rules, encoder(flat)).play()
    assert steps_of(twin) == [[(0, 1), (1, 1), (2, 1)], [(3, 1)]]


def test_an_input_past_the_budget_takes_several_passes(rules: EngineRules, flat: Flat) -> None:
    twin = Twin(reading((0, 1, 1), read=(20,)), rules, encoder(flat)).play()
    assert twin.flown[0].passes == [8, 8, 4]
    assert twin.requests[0].times == [100 + 7 * 20 + 40]


def test_inputs_that_the_encoder_cannot_take_are_rejected(rules: EngineRules, flat: Flat) -> None:
    rules = replace(rules, max_encoder_tokens=5)
    twin = Twin(reading((0, 1, 1), (0, 1, 1), read=(5, 6)), rules, encoder(flat)).play()
    assert [r.rejected for r in twin.requests] == [False, True]


def test_who_was_preempted_is_read_again(rules: EngineRules, flat: Flat) -> None:
    rules = replace(rules, blocks=4, max_batch_tokens=32)
    twin = Twin(reading((0, 8, 5), (0, 8, 5), read=(3, 3)), rules, encoder(flat)).play()
    assert [r.preempted for r in twin.requests] == [0, 1]
    assert [sum(batch.read) for batch in twin.flown if batch.read] == [6, 3]
