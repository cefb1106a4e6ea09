"""The replicas of a plan, as the simulator takes them, and what they have done."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from apex_opt.sim.engine import EngineRules
from apex_opt.sim.line import Line
from apex_opt.sim.log import Log
from apex_opt.sim.steps import Int64, StepTable
from apex_opt.sim.totals import Totals

Role = Literal["mixed", "prefill", "decode"]
Router = Literal["round_robin", "random", "least_outstanding", "least_kv", "prefix_affinity"]


def in_role(rules: EngineRules, role: Role) -> EngineRules:
    """Return the rules of a replica in its role.

    One that prefills keeps no room for outputs; one that decodes caches no prefixes and adds no
    overhead to a request.
    """
    if role == "prefill":
        return replace(rules, reserve_output=False, owed_ppm=0)
    if role == "decode":
        return replace(rules, prefix_caching=False, host_blocks=0, request_overhead_ns=0)
    return rules


@dataclass(frozen=True)
class Member:
    """Replicas of one kind.

    Attributes:
        rules: of each of them; of each of its ranks.
        steps: of each of them; of each of its ranks, if all of them run as many tokens.
        count: how many, at least 1.
        weight: routing weight of each of them, not negative; of each of its ranks.
        role: what they do: all of a request, its prompt and first token, or the others.
        ranks: attention-data-parallel ranks of each of them, that step together.
        class_weights: in place of `weight`, one a class of prompt lengths (`Routing`); none: no
            classes.
    """

    rules: EngineRules
    steps: StepTable
    count: int
    weight: int
    role: Role = "mixed"
    ranks: int = 1
    class_weights: tuple[int, ...] = ()


@dataclass(frozen=True)
class Routing:
    """How requests find their replica.

    Attributes:
        router: see `apex_opt.sim.cluster`.
        seed: of routing by chance.
        latency_ns: time until a cache begins to move from a prefill to a decode replica.
        token_fs: time to send the cache of one token over one link.
        up_to_tokens: classes by prompt length, ascending: the first has prompts of up to the first
            number, and so on; the last class has all that are longer. None: no classes.
    """

    router: Router = "round_robin"
    seed: int = 0
    latency_ns: int = 0
    token_fs: int = 0
    up_to_tokens: tuple[int, ...] = ()


@dataclass(frozen=True)
class FleetLog:
    """The log of a fleet.

    Attributes:
        log: of all requests, in order of the load; its totals as `totals.add` says.
        replica: (n,) which replica, or rank, took each request, in the end; members' replicas
            follow one another; -1 where it was rejected by all.
        members: totals of each member, its replicas taken together.
        lines: time line of each member, likewise; all have rows of one width.
    """

    log: Log
    replica: Int64
    members: tuple[Totals, ...]
    lines: tuple[Line, ...] = ()
