"""How the requests of a plan find their replicas, as the simulator takes it."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

from apex_opt.cost.transfer import Transfer, transfer
from apex_opt.errors import CallError
from apex_opt.plan.candidate import Candidate
from apex_opt.plan.levels import NS_PER_S
from apex_opt.plan.needs import MOST_BYTES
from apex_opt.plan.roles import exchange
from apex_opt.plan.use import Part
from apex_opt.sim.load import Load
from apex_opt.sim.member import Routing
from apex_opt.spec.routing import Router
from apex_opt.spec.spec import Spec

FS_PER_S = 1e15
CACHE_BYTES = 40
"""Of one request, or shared beginning, and replica with a cache of prefixes, where sessions may go
to any of them (`sim.state.Node`).
"""
SLOWEST_S = 1e-3
"""For a token's cache to move; the simulator counts in femtoseconds, and no link is as slow."""


def routing(spec: Spec, parts: Sequence[Part], router: Router) -> Routing:
    """Return how the requests of a plan find their replicas.

    Where caches move between several kinds of replica, all move as slowly as the slowest.

    Raises:
        CallError: a cache cannot move, or the network is too slow for it.
    """
    seed = spec.workload.seed if spec.workload.seed is not None else spec.search.seed
    ways = [
        moving(spec, source.candidate, target.candidate)
        for source, target in product(parts, parts)
        if (source.role, target.role) == ("prefill", "decode")
    ]
    begin_s = max((way.begin_s for way in ways), default=0.0)
    token_s = max((way.token_s for way in ways), default=0.0)
    if token_s > SLOWEST_S:
        raise CallError(
            f"network: the cache of one token takes {1e3 * token_s:.3g} ms to move, "
            "too slow for prefill and decode on different replicas"
        )
    return Routing(
        router,
        seed,
        round(begin_s * NS_PER_S),
        round(token_s * FS_PER_S),
        parts[0].up_to_tokens,
    )


def moving(spec: Spec, source: Candidate, target: Candidate) -> Transfer:
    """Return what it takes to move a cache between two replicas.

    Replicas of one pool stand in one node only where the pool has no other.

    Raises:
        CallError: they keep it in different formats, spread it unlike, or an encoder has a part in
            it.
    """
    one, other = source.shape, target.shape
    if one.model.encoder is not None:
        raise CallError(
            f"prefill and decode of `{one.model.name}` stand on one replica: "
            "the cache of an encoder-decoder model does not move"
        )
    if one.kv_cache.name != other.kv_cache.name:
        raise CallError(
            f"prefill keeps a {one.kv_cache.name} cache, decode a {other.kv_cache.name} one; "
            "a cache moves as it is: write the same `kv_cache` for both"
        )
    if one.context != other.context:
        raise CallError(
            f"prefill has context = {one.context}, decode {other.context}; "
            "a cache moves as it is: write the same `context` for both"
        )
    if exchange(one) != exchange(other):
        raise CallError(
            "no cache moves between these prefill and decode replicas; "
            "write the same tensor degree for both"
        )
    alike = source.pool == target.pool and not source.also and not target.also
    same_node = alike and spec.pools[source.pool].nodes == 1
    return transfer(one, other, same_node=same_node)


def require_classes(load: Load, parts: Sequence[Part], router: Router) -> None:
    """Refuse shares by prompt length where requests are not dealt in turn beforehand.

    Raises:
        CallError: the plan has such shares, and they cannot be played.
    """
    if not any(part.up_to_tokens for part in parts):
        return
    if router != "round_robin":
        raise CallError(
            f"the plan deals prompts by their length, which the router `{router}` does not; "
            "play it with `round_robin`"
        )
    if load.concurrency > 0:
        raise CallError(
            "the plan deals prompts by their length, but clients of a closed loop stay with their "
            "replica; play it under an open loop"
        )


def require_caches(load: Load, parts: Sequence[Part], router: Router) -> None:
    """Refuse more caches of prefixes, in replicas that are played together, than memory holds.

    Raises:
        CallError: there are too many for so many requests.
    """
    alone = router == "round_robin" and all(p.role == "mixed" and p.ranks == 1 for p in parts)
    caches = sum(p.count * p.ranks for p in parts if p.candidate.rules.prefix_caching)
    if alone or not caches or not len(load.after):  # elsewhere they share the nodes of requests
        return
    most = MOST_BYTES // CACHE_BYTES // caches
    if len(load) + len(load.prefixes) > most:
        raise CallError(
            f"workload.requests: {len(load):,} requests are too many for the prefix caches of "
            f"{caches:,} replicas that depend on each other; ask for {most:,} or less, or write "
            "`prefix_caching = false` under [engine]"
        )
