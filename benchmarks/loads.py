"""The fixed loads, rules and step times that the speed benchmark plays: round numbers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from apex_opt.sim.engine import EngineRules
from apex_opt.sim.load import Load, Prefixes
from apex_opt.sim.member import Member, Routing
from apex_opt.sim.steps import Int64, StepTable

RULES = EngineRules(
    max_seqs=32, max_batch_tokens=2048, max_model_tokens=16384, block_tokens=16, blocks=20_000
)
CACHING = replace(RULES, prefix_caching=True)
SGLANG = replace(
    RULES,
    block_tokens=1,
    blocks=16 * RULES.blocks,
    prefill_first=True,
    owed_ppm=700_000,
    owed_least_ppm=98_000,
    owed_decay_ppm=1003,
    retract_fewest=True,
)
"""SGLang's: prompts before decoding steps, pages of a token, room for outputs under way."""

OVER_NETWORK = Routing(latency_ns=5000, token_fs=2_600_000)
"""Caches of 128 KiB a token over 50 GB/s."""

GROUPS, PREFIX = 200, 256
TURNS = 4


def steps(stages: int = 1) -> StepTable:
    """Return a table of round numbers like those of an 8-billion-parameter model on one H100.

    A step takes 5 ms, 20 us a decoding sequence or 60 us a token with prompts, 0.5 ns a token of
    context and 10 ps a query-key pair, spread evenly over the stages; it takes 0.4 to 0.6 kW.
    """
    tokens = np.arange(RULES.max_batch_tokens + 1)
    decode, mixed = (5_000_000 + per_token * tokens for per_token in (20_000, 60_000))
    none, each = np.zeros(stages, np.int64), np.ones(stages, np.int64)
    return StepTable(
        decode_ns=np.tile(decode // stages, (stages, 1)),
        mixed_ns=np.tile(mixed // stages, (stages, 1)),
        rows_ns=np.zeros((stages, len(tokens)), np.int64),
        context_fs=each * (500_000 // stages),
        window_fs=none,
        window_tokens=1,
        pair_fs=each * (10_000 // stages),
        window_pair_fs=none,
        hop_ns=np.zeros((stages, RULES.max_batch_tokens + 1), np.int64),
        decode_j=4e-7 * decode,
        mixed_j=6e-7 * mixed,
        rows_j=np.zeros(len(tokens)),
        context_j=0.0,
        window_j=0.0,
        pair_j=0.0,
        window_pair_j=0.0,
        idle_w=100.0,
    )


def lognormal(rng: np.random.Generator, n: int, mean: float) -> Int64:
    """Return (n,) token counts, lognormal with this mean and a standard deviation as large."""
    variance = np.log(2)
    tokens = rng.lognormal(np.log(mean) - variance / 2, np.sqrt(variance), n)
    return np.clip(tokens, 1, 8192).astype(np.int64)


def plain(n: int) -> Load:
    """Return `n` requests that all come at the start: mean prompt 500, mean output 200."""
    rng = np.random.default_rng(0)
    return Load(np.zeros(n, np.int64), lognormal(rng, n, 500), lognormal(rng, n, 200))


def grouped(n: int) -> Load:
    """Return plain requests, each behind one of 200 system prompts of 256 tokens, at random."""
    load, rng = plain(n), np.random.default_rng(2)
    return replace(
        load,
        prompt_tokens=load.prompt_tokens + PREFIX,
        prefix=rng.integers(0, GROUPS, n),
        prefixes=Prefixes(np.full(GROUPS, -1, np.int64), np.full(GROUPS, PREFIX, np.int64)),
    )


def sessions(n: int) -> Load:
    """Return conversations of four turns, all begun at the start, with 2 s between turns.

    A message has 125 tokens on average and a reply 50, so that the tokens of a session are about
    those of one plain request.
    """
    rng, turn = np.random.default_rng(3), np.arange(n) % TURNS
    message, output = lognormal(rng, n, 500 / TURNS), lognormal(rng, n, 200 / TURNS)
    said = np.concatenate([[0], np.cumsum(message + output)])
    opening = np.arange(n) - turn
    prompt = said[:-1] - said[opening] + message
    return Load(
        np.zeros(n, np.int64),
        prompt,
        output,
        after=np.where(turn > 0, np.arange(n) - 1, -1),
        think_ns=np.where(turn > 0, 2_000_000_000, 0),
    )


def at_random(load: Load, rate_rps: float) -> Load:
    """Return a load whose requests, or sessions, begin at random at so many requests a second."""
    opens = load.opens
    gap_ns = 1e9 / rate_rps * len(load) / len(opens)
    gaps = np.random.default_rng(1).exponential(gap_ns, len(opens))
    begin = np.cumsum(gaps).astype(np.int64)
    index = np.searchsorted(opens, np.arange(len(load)), side="right") - 1
    return replace(load, arrival_ns=begin[index])


def roles() -> list[Member]:
    """Return two replicas that prefill and two that decode."""
    table = steps()
    return [Member(RULES, table, 2, 1, "prefill"), Member(RULES, table, 2, 1, "decode")]
