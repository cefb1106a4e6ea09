"""Speculative decoding: guess tokens ahead, keep those that turn out right.

Each decoding sequence runs one token and its guesses in a step, at most as many as it has still to
sample. The first wrong guess ends those that count; the step samples one token more than these.
So sequences advance unevenly, and what is one sum for all in `cohort` is a pass over the sequences
here. Which guess is right is chance, of the seed, the request and the token alone.

Source: Leviathan et al., arXiv 2211.17192, section 3 (acceptance of each token independently);
vLLM, vllm/v1/core/sched/scheduler.py (blocks for all guesses are taken before the step).
"""

from __future__ import annotations

import numpy as np

from apex_opt.sim.jit import njit_helper
from apex_opt.sim.state import NOBODY, Given, State

ONE = 1_000_000


@njit_helper
def guesses(g: Given, s: State, slot: int) -> int:
    """Return how many tokens are guessed for a decoding sequence."""
    sequence = s.sequences[slot]
    request = s.requests[sequence.request]
    left = request.prompt + request.output - 1 - sequence.cached
    return min(g.drafts, left - 1)


@njit_helper
def guessed_tokens(g: Given, s: State, which: int) -> int:
    """Return the tokens that the decoding sequences of a cohort run."""
    tokens, slot = 0, s.cohorts[which].head
    while slot != NOBODY:
        if slot != s.cohorts[which].partial:
            tokens += 1 + guesses(g, s, slot)
        slot = s.sequences[slot].after
    return tokens


@njit_helper
def right_guesses(g: Given, s: State, slot: int) -> int:
    """Return how many of the guesses for a sequence turn out right."""
    sequence = s.sequences[slot]
    sampled = sequence.cached - s.requests[sequence.request].prompt + 1
    n = guesses(g, s, slot)
    for k in range(n):
        if chance(g.seed, sequence.request, sampled + k) >= g.acceptance_ppm:
            return k
    return n


@njit_helper
def chance(seed: int, request: int, token: int) -> int:
    """Return a number under a million, the same for the same arguments.

    Source: the finaliser of SplitMix64, Steele et al., doi 10.1145/2660193.2660195.
    """
    z = np.uint64(seed) * np.uint64(0x9E3779B97F4A7C15)
    z += np.uint64(request) * np.uint64(0xBF58476D1CE4E5B9)
    z += np.uint64(token) * np.uint64(0x94D049BB133111EB)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z ^= z >> np.uint64(31)
    return int((z >> np.uint64(1)) % np.uint64(ONE))
