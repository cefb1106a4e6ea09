from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from apex_opt.plan.content import content
from apex_opt.sim.load import Load, Prefixes
from tests.sim.cases import loads


def column(*values):
    return np.array(values, np.int64)


def path(load, i):
    """The prompt of a request as a set: every token by what stands before it."""
    before = load.after[i] if len(load.after) else -1
    said = load.prompt_tokens[before] + load.output_tokens[before] if before >= 0 else 0
    tokens = {("of", i, k) for k in range(load.prompt_tokens[i])}
    if before >= 0:
        old = path(load, before) | {("reply", before, k) for k in range(load.output_tokens[before])}
        return old | {("of", i, k) for k in range(said, load.prompt_tokens[i])}
    node = load.prefix[i] if len(load.prefix) else -1
    while node >= 0:
        above = load.prefixes.parent[node]
        first = load.prefixes.tokens[above] if above >= 0 else 0
        for k in range(first, load.prefixes.tokens[node]):
            tokens.discard(("of", i, k))
            tokens.add(("node", node, k))
        node = above
    return tokens


def last_token(load, i):
    """The last token of a prompt: of a turn without a message, the last of the reply."""
    before, end = load.after[i] if len(load.after) else -1, load.prompt_tokens[i] - 1
    if before >= 0 and load.prompt_tokens[before] + load.output_tokens[before] == end + 1:
        return "reply", before, load.output_tokens[before] - 1
    return next(t for t in path(load, i) if t[0] != "reply" and t[2] == end)


@settings(max_examples=100, deadline=None)
@given(load=loads(), chosen=st.data())
def test_own_tokens_of_any_requests_are_no_more_than_they_must_compute(load, chosen):
    found = content(load)
    part = chosen.draw(st.sets(st.integers(0, len(load) - 1), min_size=1))
    prompts = set().union(*(path(load, i) for i in part))
    # Computed at least: every token once, but replies except their last; last tokens every time.
    replies = {t for t in prompts if t[0] == "reply"}
    lasts = {t for t in replies if t[2] == load.output_tokens[t[1]] - 1}
    ends = [last_token(load, i) for i in part]
    least = len(prompts - (replies - lasts)) + len(ends) - len(set(ends))
    assert found.own[sorted(part)].sum() <= least


@settings(max_examples=100, deadline=None)
@given(load=loads())
def test_a_request_alone_computes_what_no_other_prompt_has(load):
    found = content(load)
    for i in range(len(load)):
        if len(load.after) and load.after[i] >= 0:
            continue
        others = [path(load, j) for j in range(len(load)) if j != i and not follows(load, j, i)]
        only = path(load, i) - set().union(*others)
        assert found.alone[i] == max(len(only), 1)
        assert found.own[i] >= found.alone[i]


def follows(load, j, i):
    """Whether j is a later turn of the session of i."""
    while len(load.after) and load.after[j] >= 0:
        j = load.after[j]
        if j == i:
            return True
    return False


SYSTEM = Prefixes(column(-1), column(100))
SENT = Load(column(0, 1, 2), column(150, 120, 130), column(10, 10, 10))


def test_a_shared_beginning_belongs_to_the_shortest_prompt():
    found = content(replace(SENT, prefix=column(0, 0, -1), prefixes=SYSTEM))
    assert found.own.tolist() == [50, 120, 130]
    assert found.alone.tolist() == [50, 20, 130]
    assert found.shared.tolist() == [100, 100, 0]


def test_equal_prompts_belong_to_the_first_and_cost_the_others_a_token():
    same = Load(column(0, 1, 2), column(100, 100, 100), column(10, 10, 10))
    found = content(replace(same, prefix=column(0, 0, 0), prefixes=SYSTEM))
    assert found.own.tolist() == [100, 1, 1]
    assert found.alone.tolist() == [1, 1, 1]


def test_a_turn_computes_its_message_and_the_last_token_of_the_reply():
    turns = Load(column(0, 0, 0), column(120, 150, 190), column(20, 20, 20))
    chain = replace(turns, after=column(-1, 0, 1), think_ns=column(0, 0, 0))
    found = content(replace(chain, prefix=column(0, -1, -1), prefixes=SYSTEM))
    # 150 of which 120 + 19 are in the cache, 190 of which 150 + 19 are.
    assert found.own.tolist() == [120, 11, 21]


def test_nothing_shared_is_all_its_own():
    assert content(SENT).own.tolist() == [150, 120, 130]
