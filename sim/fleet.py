"""Play a whole plan: deal the requests to replicas, play each replica, put the columns together."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import reduce
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from apex_opt.sim.joint import IN_TURN, play_together
from apex_opt.sim.line import by_member, together
from apex_opt.sim.load import Load
from apex_opt.sim.log import Log
from apex_opt.sim.member import FleetLog, Member, Routing
from apex_opt.sim.replica import play_ready, ready
from apex_opt.sim.router import by_class, round_robin
from apex_opt.sim.steps import Int64
from apex_opt.sim.totals import add

Number = TypeVar("Number", bound=np.generic)


def play_fleet(
    load: Load,
    members: Sequence[Member],
    threads: int = 1,
    routing: Routing = IN_TURN,
    rows: int = 0,
) -> FleetLog:
    """Deal `load` to replicas and play all of them.

    Dealt in turn, mixed replicas of one rank do not depend on each other: each is played by itself.
    In a closed loop the clients are then dealt by smooth weighted round robin and stay with their
    replica; each replica gets one at least, as long as there are enough. Requests are dealt in
    proportion to the clients, none to a replica without any. Sessions stay with their replica too.
    Everything else is played together. Classes of prompt lengths are for an open loop of replicas
    that do not depend on each other; a session is of the class of its first prompt.

    Args:
        load: requests; `arrival_ns` of the log are those of the replicas.
        members: kinds of replicas.
        threads: replicas that are played at the same time; the result does not depend on it.
        routing: how requests find their replica.
        rows: of the time line, even; 0: none.

    Raises:
        ValueError: see `play`, `play_together` and `round_robin`; or no replica has a weight; or
            there are classes where they cannot be dealt.
    """
    if not sum(member.count * member.weight for member in members):
        raise ValueError("members: no replica has a weight")
    alone = all(member.role == "mixed" and member.ranks == 1 for member in members)
    independent = alone and routing.router == "round_robin"
    if routing.up_to_tokens and (not independent or load.concurrency > 0):
        raise ValueError(
            "routing.up_to_tokens: classes are dealt in turn, in an open loop, to mixed replicas"
        )
    if not independent:
        return play_together(load, members, routing, rows)
    kinds = [member for member in members for _ in range(member.count)]
    made = [ready(load, member.rules, member.steps) for member in members]
    made = [one for one, member in zip(made, members, strict=True) for _ in range(member.count)]
    replica, clients = assign(load, kinds, routing.up_to_tokens)
    shares = split(replica, len(kinds))

    def one(k: int) -> Log:
        share = replace(load.take(shares[k]), concurrency=int(clients[k]))
        return play_ready(share, made[k], rows)

    if threads > 1:
        with ThreadPoolExecutor(threads) as pool:
            logs = list(pool.map(one, range(len(kinds))))
    else:
        logs = [one(k) for k in range(len(kinds))]
    totals = iter([log.totals for log in logs])
    each = tuple(add([next(totals) for _ in range(m.count)]) for m in members)
    lines = by_member([log.line for log in logs], [m.count for m in members])
    return FleetLog(gather(logs, shares, len(load)), replica, each, lines)


def assign(
    load: Load, kinds: Sequence[Member], up_to_tokens: tuple[int, ...] = ()
) -> tuple[Int64, Int64]:
    """Return the replica of each request, and how many clients each replica has (0: open loop)."""
    weights = [member.weight for member in kinds]
    clients = np.zeros(len(weights), np.int64)
    if load.concurrency > 0:
        many = min(load.concurrency, len(load.opens))  # the others have nothing to send
        clients = np.bincount(round_robin(many, weights), minlength=len(weights))
        for k, weight in enumerate(weights):
            richest = int(clients.argmax())
            if clients[k] == 0 and weight > 0 and clients[richest] > 1:
                clients[richest] -= 1
                clients[k] += 1
        weights = clients.tolist()
    opens = load.opens
    replica = np.empty(len(load), np.int64)
    if up_to_tokens:
        classes = np.searchsorted(np.array(up_to_tokens), load.prompt_tokens[opens])
        shares = list(zip(*(member.class_weights for member in kinds), strict=True))
        replica[opens] = by_class(classes, shares)
    else:
        replica[opens] = round_robin(len(opens), weights)
    for later in np.flatnonzero(load.after >= 0).tolist():
        replica[later] = replica[load.after[later]]
    return replica, clients


def split(replica: Int64, count: int) -> list[Int64]:
    """Return for each replica the indices of its requests, in order."""
    order = np.argsort(replica, kind="stable")
    ends = np.cumsum(np.bincount(replica, minlength=count))
    return np.split(order, ends[:-1])


def gather(logs: Sequence[Log], shares: Sequence[Int64], n: int) -> Log:
    """Return the columns of the replicas in order of the load."""

    def column(parts: Sequence[NDArray[Number]]) -> NDArray[Number]:
        whole = np.empty(n, parts[0].dtype)
        for share, part in zip(shares, parts, strict=True):
            whole[share] = part
        return whole

    return Log(
        arrival_ns=column([log.arrival_ns for log in logs]),
        start_ns=column([log.start_ns for log in logs]),
        first_ns=column([log.first_ns for log in logs]),
        last_ns=column([log.last_ns for log in logs]),
        gap_ns=column([log.gap_ns for log in logs]),
        status=column([log.status for log in logs]),
        preempted=column([log.preempted for log in logs]),
        gaps=reduce(np.add, [log.gaps for log in logs]),
        totals=add([log.totals for log in logs]),
        line=together([log.line for log in logs]),
    )
