"""Which guesses are right."""

from __future__ import annotations

from apex_opt.sim.engine import EngineRules
from tests.sim.twin_request import Request

ONES = (1 << 64) - 1


def mix(seed: int, request: int, token: int) -> int:
    """Return 63 bits that look random: the finaliser of splitmix64."""
    z = seed * 0x9E3779B97F4A7C15 + request * 0xBF58476D1CE4E5B9 + token * 0x94D049BB133111EB & ONES
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 & ONES
    z = (z ^ z >> 27) * 0x94D049BB133111EB & ONES
    return (z ^ z >> 31) >> 1


def guesses(r: Request, rules: EngineRules) -> int:
    """Return how many tokens are guessed ahead: none that would be past the output."""
    return min(rules.drafts, r.left - 1)


def right(r: Request, rules: EngineRules) -> int:
    """Return how many of them are right, up to the first wrong one."""
    for i in range(guesses(r, rules)):
        if mix(rules.seed, r.index, len(r.times) + i) % 10**6 >= rules.acceptance_ppm:
            return i
    return guesses(r, rules)
