"""Which replica a request is sent to, for its prompt or to decode.

In turn (smooth weighted round robin) or by chance; to the one with the fewest requests or the most
free cache for its weight; or to the one that has most of the prompt in its cache, as long as that
is much of it and the replica not far ahead of the others.

Source: SGLang router, sgl-router/README.md (cache-aware routing and its thresholds).
"""

from __future__ import annotations

from apex_opt.sim.blocks import PPM
from apex_opt.sim.draft import chance
from apex_opt.sim.jit import njit_helper, njit_rare
from apex_opt.sim.prefix import cached_blocks
from apex_opt.sim.state import DECODE, NOBODY, PREFILL, State
from apex_opt.sim.world import (
    LEAST_KV,
    NEVER,
    PREFIX_AFFINITY,
    RANDOM,
    ROUND_ROBIN,
    World,
)

LARGE_LEAD = 64
LARGE_RATIO_PERCENT = 150
LEAST_HIT_PERCENT = 30
"""When prefix affinity gives way: the busiest replica is ahead of the idlest by so many requests
and so much in proportion; or less of the prompt than this is cached (SGLang router's defaults)."""


@njit_helper
def takes(w: World, r: int, index: int, decodes: bool) -> bool:
    """Return whether a replica can take a request, for its prompt or to decode."""
    site = w.sites[r]
    right = (w.givens[site.kind].role == DECODE) == decodes
    return right and site.weight > 0 and w.accepts[site.kind, index] != 0


@njit_rare
def choose(w: World, s: State, index: int, decodes: bool) -> int:
    """Return the replica for a request."""
    router = w.door.router
    if router == ROUND_ROBIN:
        return in_turn(w, index, decodes)
    if router == RANDOM:
        return by_chance(w, index, decodes)
    if router == PREFIX_AFFINITY and not decodes:
        return best_known(w, s, index)
    return least_loaded(w, s, index, decodes)


@njit_rare
def in_turn(w: World, index: int, decodes: bool) -> int:
    """Return the next replica in smooth weighted round robin."""
    best, total = NOBODY, 0
    for r in range(len(w.sites)):
        if takes(w, r, index, decodes):
            site = w.sites[r]
            site.credit += site.weight
            total += site.weight
            if best == NOBODY or site.credit > w.sites[best].credit:
                best = r
    w.sites[best].credit -= total
    return best


@njit_rare
def by_chance(w: World, index: int, decodes: bool) -> int:
    """Return a replica by chance, in proportion to its weight."""
    total = 0
    for r in range(len(w.sites)):
        if takes(w, r, index, decodes):
            total += w.sites[r].weight
    drawn = chance(w.door.seed, index, DECODE if decodes else PREFILL) * total
    best = NOBODY
    for r in range(len(w.sites)):
        if takes(w, r, index, decodes):
            best = r
            drawn -= w.sites[r].weight * PPM
            if drawn < 0:
                return best
    return best


@njit_rare
def least_loaded(w: World, s: State, index: int, decodes: bool) -> int:
    """Return the replica with the fewest requests for its weight, or the most free cache."""
    best = NOBODY
    for r in range(len(w.sites)):
        if takes(w, r, index, decodes) and (best == NOBODY or lighter(w, s, r, best)):
            best = r
    return best


@njit_helper
def lighter(w: World, s: State, r: int, other: int) -> bool:
    """Return whether replica `r` has less to do than another one."""
    a, b = w.sites[r], w.sites[other]
    if w.door.router == LEAST_KV:
        size, full = w.givens[a.kind].blocks, w.givens[b.kind].blocks
        used, more = size - s.machines[r].free, full - s.machines[other].free
        if used * full != more * size:
            return used * full < more * size
    return a.outstanding * b.weight < b.outstanding * a.weight


@njit_rare
def best_known(w: World, s: State, index: int) -> int:
    """Return the replica that has most of a prompt, unless it is far ahead of the others."""
    least, most, best, found = NEVER, 0, NOBODY, -1
    for r in range(len(w.sites)):
        if takes(w, r, index, False):
            g, site = w.givens[w.sites[r].kind], w.sites[r]
            least, most = min(least, site.outstanding), max(most, site.outstanding)
            hit = 0
            if g.prefix_caching:
                hit = known_blocks(s, r, index) * g.block_tokens
            if hit > found:
                best, found = r, hit
    uneven = most - least > LARGE_LEAD and 100 * most > LARGE_RATIO_PERCENT * least
    known = 100 * found >= LEAST_HIT_PERCENT * s.requests[index].prompt
    return best if known and not uneven else least_loaded(w, s, index, False)


@njit_helper
def known_blocks(s: State, r: int, index: int) -> int:
    """Return how many blocks of a request's prompt are in the cache of a replica."""
    m = s.machines[r]
    if m.tree == NOBODY:
        return cached_blocks(s.nodes, m.leaf + index)
    prefix = s.more[index].prefix
    return cached_blocks(s.nodes, m.tree + prefix) if prefix != NOBODY else 0
