"""Small runs of all mechanisms and their combinations: few blocks, small budgets, crowds."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import strategies as st

from apex_opt.sim.engine import EngineRules
from apex_opt.sim.load import Load, Prefixes
from apex_opt.sim.steps import StepTable

Case = tuple[Load, EngineRules, StepTable]
LONGEST = 60
"""Tokens of a prompt past which a session does not go on."""


def often(draw: st.DrawFn) -> bool:
    """True in about a third of the cases; shrinks to False."""
    return draw(st.sampled_from([False, False, True]))


def column(values: list[int]) -> np.ndarray:
    return np.array(values, np.int64)


def table(seed: int, stages: int, max_tokens: int, rows: int, drafts: bool) -> StepTable:
    """A step table without any order in it: times go up and down with the batch."""
    rng, coin = np.random.default_rng(seed), np.random.default_rng(seed + 1)

    def ns(low: int, high: int, *shape: int) -> np.ndarray:
        return rng.integers(low, high, shape, np.int64)

    stage = coin.integers(0, stages, stages if coin.random() < 0.5 else 0, np.int64)
    hop = ns(0, 30, stages, max_tokens + 1)
    hop[stage[-1] if len(stage) else -1] = 0
    encoder = coin.integers(1, 700, (stages, max_tokens + 1), np.int64)
    encoder[:, 0] = 0
    variable = coin.random() < 0.5
    return StepTable(
        decode_ns=ns(1, 400, stages, max_tokens + 1),
        mixed_ns=ns(1, 900, stages, max_tokens + 1),
        rows_ns=ns(0, 9, stages, rows + 1),
        context_fs=ns(0, 900_000, stages),
        window_fs=ns(0, 900_000, stages),
        window_tokens=int(rng.integers(1, 20)),
        pair_fs=ns(0, 300_000, stages),
        window_pair_fs=ns(0, 300_000, stages),
        hop_ns=hop,
        decode_j=rng.random(max_tokens + 1),
        mixed_j=rng.random(max_tokens + 1),
        rows_j=rng.random(rows + 1),
        context_j=0.01,
        window_j=0.02,
        pair_j=0.003,
        window_pair_j=0.004,
        idle_w=1.0,
        history_fs=ns(0, 500_000, stages if rng.random() < 0.5 else 0),
        history_j=0.005,
        mixed_context_fs=ns(0, 700_000, stages if rng.random() < 0.5 else 0),
        mixed_window_fs=ns(0, 700_000, stages if rng.random() < 0.5 else 0),
        mixed_context_j=0.006,
        mixed_window_j=0.007,
        draft_ns=ns(0, 200, rows + 1 if drafts else 0),
        draft_j=rng.random(rows + 1 if drafts else 0),
        encoder_ns=encoder,
        encoder_j=np.append(0.0, coin.random(max_tokens)),
        encoder_pair_fs=coin.integers(0, 300_000, stages if variable else 0, np.int64),
        encoder_pair_j=0.006 if variable else 0.0,
        row=stage,
    )


@st.composite
def prefixes(draw: st.DrawFn) -> Prefixes:
    """A forest of at most 5 nodes and 3 levels."""
    parent: list[int] = []
    tokens: list[int] = []
    depth: list[int] = []
    for _ in range(draw(st.integers(0, 5))):
        above = draw(st.sampled_from([-1, *[i for i, d in enumerate(depth) if d < 3]]))
        parent.append(above)
        depth.append(depth[above] + 1 if above >= 0 else 1)
        tokens.append((tokens[above] if above >= 0 else 0) + draw(st.integers(1, 12)))
    return Prefixes(column(parent), column(tokens))


@st.composite
def loads(draw: st.DrawFn) -> Load:
    """At most 14 requests; some share a prefix, or are one, some go on with a session."""
    tree = draw(prefixes())
    has_sessions, has_priority = draw(st.booleans()), draw(st.booleans())
    spread, longest = draw(st.sampled_from([0, 100, 3000])), draw(st.sampled_from([6, 40]))
    rows: list[tuple[int, ...]] = []
    now = 0
    over: list[int] = []  # the last of each session that may go on
    for i in range(draw(st.integers(1, 14) | st.integers(6, 14))):
        now += draw(st.integers(0, spread))
        prefix, before, least = -1, -1, 0
        if has_sessions and over and draw(st.booleans()):
            before = over.pop(draw(st.integers(0, len(over) - 1)))
            least = rows[before][1] + rows[before][2]
        elif len(tree):
            prefix = draw(st.integers(-1, len(tree) - 1))
            least = int(tree.tokens[prefix]) if prefix >= 0 else 0
        more = draw(st.integers(0, 8)) if least else draw(st.integers(1, longest))
        prompt, output = least + more, draw(st.integers(1, 12))
        rows.append((now, prompt, output, prefix, before, draw(st.sampled_from([0, 0, 50, 2000]))))
        if prompt + output < LONGEST:
            over.append(i)
    arrival, prompts, outputs, prefix_of, after, think = np.array(rows, np.int64).T.copy()
    load = Load(arrival, prompts, outputs, draw(st.sampled_from([0, 0, 1, 2, 5])))
    if len(tree):
        load = replace(load, prefix=prefix_of, prefixes=tree)
    if has_sessions:
        load = replace(load, after=after, think_ns=think)
    if has_priority:
        levels = st.lists(st.integers(-1, 2), min_size=len(rows), max_size=len(rows))
        load = replace(load, priority=column(draw(levels)))
    if often(draw):
        read = st.lists(st.sampled_from([0, 1, 5, 20]), min_size=len(rows), max_size=len(rows))
        load = replace(load, encoder_tokens=column(draw(read)))
    return load


@st.composite
def engines(draw: st.DrawFn) -> EngineRules:
    """Rules with any of the mechanisms on, `blocks` left open."""
    caching = draw(st.sampled_from([True, True, False]))
    drafts = draw(st.sampled_from([0, 0, 1, 2, 4]))
    max_seqs = draw(st.integers(1, 6))
    owed = often(draw)
    return EngineRules(
        max_seqs=max_seqs,
        max_batch_tokens=max_seqs * (1 + drafts) + draw(st.integers(0, 20)),
        max_model_tokens=draw(st.sampled_from([200, 200, 30])),
        block_tokens=draw(st.sampled_from([1, 2, 3, 4, 4, 8, 16])),
        blocks=0,
        sequence_blocks=draw(st.sampled_from([0, 0, 1, 2])),
        token_blocks=1 if caching else draw(st.sampled_from([1, 1, 0])),
        window_limit=draw(st.sampled_from([0, 0, 1, 3])),
        window_ppm=draw(st.sampled_from([300_000, 1_000_000])),
        chunked_prefill=draw(st.sampled_from([True, True, False])),
        async_scheduling=draw(st.booleans()),
        full_sequence_gate=draw(st.booleans()),
        request_overhead_ns=draw(st.sampled_from([0, 0, 70])),
        order=draw(st.sampled_from(["fcfs", "fcfs", "priority", "shortest"])),
        prefill_first=often(draw),
        watermark_blocks=draw(st.sampled_from([0, 0, 1, 3])),
        reserve_output=draw(st.sampled_from([False, False, False, False, False, True])),
        owed_ppm=draw(st.integers(1, 1_000_000)) if owed else 0,
        owed_least_ppm=draw(st.integers(0, 300_000)) if owed else 0,
        owed_decay_ppm=draw(st.integers(0, 100_000)) if owed else 0,
        retract_fewest=often(draw),
        prefix_caching=caching,
        host_blocks=draw(st.sampled_from([0, 1, 3, 8, 40])) if caching else 0,
        host_block_ns=draw(st.sampled_from([0, 25])),
        drafts=drafts,
        acceptance_ppm=draw(st.sampled_from([0, 300_000, 700_000, 1_000_000])),
        seed=draw(st.integers(0, 3)),
        cross_cache=not caching and draw(st.booleans()),
        max_encoder_tokens=draw(st.sampled_from([0, 0, 10])),
    )


def most_blocks(load: Load, rules: EngineRules) -> list[int]:
    """Return the blocks that each request holds at its end."""
    full = -(-(load.prompt_tokens + load.output_tokens - 1) // rules.block_tokens)
    windows = -(-np.minimum(full, rules.window_limit) * rules.window_ppm // 10**6)
    if rules.cross_cache and len(load.encoder_tokens):
        full = full - (-load.encoder_tokens // rules.block_tokens)
    return (rules.token_blocks * full + rules.sequence_blocks + windows).tolist()


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """A load, rules and a table that fit together, short of memory more often than not."""
    load, rules = draw(loads()), draw(engines())
    ends = most_blocks(load, rules)
    blocks = max(1, max(ends) + draw(st.sampled_from([0, 0, 1, 2, 4, 10, -1])))
    stages = draw(st.sampled_from([1, 1, 1, 2, 3]))
    rows, tokens = rules.max_seqs * (1 + rules.drafts), rules.max_batch_tokens
    guessing_takes_time = rules.drafts > 0 and draw(st.booleans())
    steps = table(draw(st.integers(0, 1000)), stages, tokens, rows, guessing_takes_time)
    return load, replace(rules, blocks=blocks), steps
