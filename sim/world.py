"""What replicas that are played together remember, beside what each of them does.

Their `State` is one: slots, cohorts, batches and nodes of the replicas follow one another, the
requests are common. Tables and constants stand once for each kind of replica.
"""

from __future__ import annotations

from typing import NamedTuple

from apex_opt.sim.jit import njit_helper
from apex_opt.sim.state import Given
from apex_opt.sim.steps import Int8, Int64

NEVER = 1 << 62
"""When nothing is to happen any more."""

ROUND_ROBIN, RANDOM, LEAST_OUTSTANDING, LEAST_KV, PREFIX_AFFINITY = range(5)
"""In order of `member.Router`."""


class Door:
    """What all replicas have in common."""

    router: int
    seed: int
    moving: int  # caches that are on their way
    latency_ns: int
    token_fs: int  # to send the cache of one token
    stuck: int  # whether some replica ran out of patience


class Site:
    """One replica, or one rank of those that step together."""

    kind: int
    ranks: int  # that step together, this one the first of them; 0: a later one
    leader: int  # the first of them
    weight: int
    credit: int
    outstanding: int  # requests that were sent here and are not over
    ready: int  # sequences whose cache has come
    sends: int  # when its link is free to send
    receives: int  # when its link is free to receive


class World(NamedTuple):
    """Replicas that are played together, in one `State`; its last machine is the entrance."""

    door: Door
    given: Given  # of the entrance, which knows arrivals alone
    sites: list[Site]
    givens: list[Given]  # by kind
    accepts: Int8  # (kinds, n)
    events: Int64  # (2^k,) binary tree of the least times
    ready: Int64  # (slots,) of each replica, those whose cache has come
    moving: Int64  # (n,) heap of requests whose cache is on its way
    replica: Int64  # (n,) the replica that took it, in the end


@njit_helper
def first_event(w: World) -> int:
    """Return the replica to which something happens first; of several the first."""
    half, k = len(w.events) // 2, 1
    while k < half:
        k = 2 * k if w.events[2 * k] == w.events[k] else 2 * k + 1
    return k - half


@njit_helper
def set_event(w: World, r: int, at: int) -> None:
    """Note when something happens next to a replica."""
    k = len(w.events) // 2 + r
    w.events[k] = at
    while k > 1:
        k //= 2
        w.events[k] = min(w.events[2 * k], w.events[2 * k + 1])
