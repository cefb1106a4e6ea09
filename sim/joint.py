"""Play replicas together: lay out their states side by side, run, read the logs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, cast, get_args

import numpy as np
from numpy.typing import NDArray

from apex_opt.sim.check import LATEST, check
from apex_opt.sim.cluster import run_together
from apex_opt.sim.engine import EngineRules
from apex_opt.sim.layout import (
    Bool,
    begin,
    blank,
    given,
    nodes,
    requests,
    sizes,
    state,
    tables,
    zeros,
)
from apex_opt.sim.line import by_member, together
from apex_opt.sim.load import Load
from apex_opt.sim.member import FleetLog, Member, Role, Router, Routing, in_role
from apex_opt.sim.replica import ENDLESS, EndlessRunError, line, log, rejects, totals, unfinished
from apex_opt.sim.state import NOBODY, Given, Node, Request, State
from apex_opt.sim.totals import add
from apex_opt.sim.world import NEVER, Door, Site, World

IN_TURN = Routing()

MOST_NODES = 200_000_000
"""Nodes of all trees of prefixes together: 8 GB."""


@dataclass(frozen=True)
class Kind:
    """What each replica of a member has in common: its load as it sees it, rules and table."""

    member: Member
    load: Load
    refused: Bool

    @property
    def takes_prompts(self) -> bool:
        """Whether requests are sent to it when they arrive."""
        return self.member.role != "decode" and self.member.weight > 0


def play_together(
    load: Load, members: Sequence[Member], routing: Routing = IN_TURN, rows: int = 0
) -> FleetLog:
    """Play replicas that depend on each other: see `apex_opt.sim.cluster` for the rules.

    Memory grows with requests x replicas where prefixes are cached.

    Raises:
        ValueError: see `play`; or members do not fit together.
    """
    check_members(load, members, routing)
    kinds = seen(load, [kind(load, member) for member in members])
    refused = np.logical_and.reduce([one.refused for one in kinds if one.takes_prompts])
    world, start = lay_out(load, kinds, routing), states(load, kinds, refused, rows)
    run_together(world, tables([one.member.steps for one in kinds]), start)
    if unfinished(start):
        raise EndlessRunError(ENDLESS)
    return read(world, start, members, refused)


def kind(load: Load, member: Member) -> Kind:
    """Return a member with its load: a prefill replica keeps no room for outputs."""
    check(load, member.rules, member.steps)
    rules = in_role(member.rules, member.role)
    if member.role == "prefill":
        first = replace(load, output_tokens=np.ones_like(load.output_tokens))
        refused = rejects(first, rules) | (
            load.prompt_tokens + load.output_tokens > rules.max_model_tokens
        )
    else:
        refused = rejects(load, rules)
    return Kind(replace(member, rules=rules), load, refused)


def check_members(load: Load, members: Sequence[Member], routing: Routing) -> None:
    """Check that the members fit together.

    Raises:
        ValueError: they do not.
    """
    roles = {member.role for member in members if member.count * member.weight}
    if not roles:
        raise ValueError("members: no replica has a weight")
    if roles != {"mixed"} and not {"prefill", "decode"} <= roles:
        raise ValueError("members: prefill and decode replicas need each other")
    for member in members:
        sound = member.count > 0 and member.weight >= 0 and member.ranks > 0
        if member.role not in get_args(Role) or not sound:
            raise ValueError("members: role, count, weight or ranks is unsound")
        if member.rules.cross_cache and member.role != "mixed":
            raise ValueError("members: a cache of what an encoder has read does not move")
        if member.ranks > 1 and member.steps.stages > 1:
            raise ValueError("members: ranks that step together have one stage")
    if routing.router not in get_args(Router):
        raise ValueError(f"routing.router: must be one of {get_args(Router)}")
    if not (0 <= routing.latency_ns < LATEST and 0 <= routing.token_fs < 1 << 40):
        raise ValueError("routing: latency_ns or token_fs is unsound")
    caching = [m.rules for m in members for _ in range(places(m)) if m.rules.prefix_caching]
    if node_count(load, caching) > MOST_NODES:
        raise ValueError(
            f"load: {len(load):,} requests are too many for the prefix caches of {len(caching)} "
            "replicas played together"
        )


def seen(load: Load, kinds: Sequence[Kind]) -> list[Kind]:
    """Return the kinds, each with what it refuses: a prefill replica also what nobody decodes."""
    decoders = [one.refused for one in kinds if one.member.role == "decode" and one.member.weight]
    nobody = np.logical_and.reduce([load.output_tokens > 1, *decoders])
    return [
        replace(one, refused=one.refused | nobody) if one.member.role == "prefill" else one
        for one in kinds
    ]


def lay_out(load: Load, kinds: Sequence[Kind], routing: Routing) -> World:
    """Return what the replicas of `kinds` have in common."""
    n, replicas = len(load), sum(places(one.member) for one in kinds)
    slots = sum(places(one.member) * one.member.rules.max_seqs for one in kinds)
    return World(
        door=door(routing),
        given=given(load, kinds[0].member.rules, kinds[0].member.steps),
        sites=cast("list[Site]", sites(kinds)),
        givens=cast("list[Given]", np.stack([constants(k, one) for k, one in enumerate(kinds)])),
        accepts=np.stack([~one.refused for one in kinds]).astype(np.int8),
        events=np.full(2 << (replicas - 1).bit_length(), NEVER, np.int64),
        ready=blank(slots),
        moving=blank(n),
        replica=np.full(n, NOBODY, np.int64),
    )


def places(member: Member) -> int:
    """Return how many schedulers a member has."""
    return member.count * member.ranks


def door(routing: Routing) -> Door:
    """Return what all replicas have in common."""
    record = zeros(Door, 1)[0]
    record["router"] = get_args(Router).index(routing.router)
    for name in ("seed", "latency_ns", "token_fs"):
        record[name] = getattr(routing, name)
    return cast("Door", record)


def constants(number: int, one: Kind) -> NDArray[np.void]:
    """Return the constants of each replica of a kind: nobody arrives there by himself."""
    record = cast("Any", given(one.load, one.member.rules, one.member.steps))
    record["sessions"] = record["openings"] = record["opening"] = 0
    record["role"], record["kind"] = get_args(Role).index(one.member.role), number
    return cast("NDArray[np.void]", record)


def sites(kinds: Sequence[Kind]) -> NDArray[np.void]:
    """Return all replicas, those of a member after each other."""
    records = zeros(Site, sum(places(one.member) for one in kinds))
    r = 0
    for k, one in enumerate(kinds):
        for _ in range(one.member.count):
            records["leader"][r : r + one.member.ranks] = r
            records["ranks"][r] = one.member.ranks
            r += one.member.ranks
        ours = records[r - places(one.member) : r]
        ours["kind"], ours["weight"] = k, one.member.weight
    return records


def states(load: Load, kinds: Sequence[Kind], refused: Bool, rows: int) -> State:
    """Return the state of all replicas, and of the entrance behind them."""
    each, rules = [], []
    for one in kinds:
        member = one.member
        size = sizes(load, member.rules, member.steps, one.refused, rows)
        each += [size] * places(member)
        rules += [member.rules] * places(member)
    each.append(replace(each[0], stages=1, depth=1, slots=1))
    rules.append(replace(rules[0], max_seqs=1, prefix_caching=False))
    start = state(load, each, joint=True)
    begin(start, load, rules, each)
    machines = cast("Any", start.machines)
    caching = np.array([rule.prefix_caching for rule in rules])
    forest = zeros(Node, max(node_count(load, [r for r in rules if r.prefix_caching]), 1))
    if common_private_nodes(load, rules):
        machines["tree"][caching] = np.arange(caching.sum()) * len(load.prefixes)
        machines["leaf"] = caching.sum() * len(load.prefixes)
    plant(load, rules, machines, forest)
    return start._replace(
        requests=cast("list[Request]", requests(load, refused)), nodes=cast("list[Node]", forest)
    )


def common_private_nodes(load: Load, rules: Sequence[EngineRules]) -> bool:
    """Return whether the private nodes of requests need stand only once, for all replicas.

    In a session they are parts of later prompts, of which any replica may have some; and with
    blocks of several sizes they differ.
    """
    return not len(load.after) and len({r.block_tokens for r in rules if r.prefix_caching}) == 1


def node_count(load: Load, caching: Sequence[EngineRules]) -> int:
    """Return the nodes of the trees of replicas that cache prefixes."""
    n, m = len(load), len(load.prefixes)
    return len(caching) * m + n if common_private_nodes(load, caching) else len(caching) * (m + n)


def plant(
    load: Load, rules: Sequence[EngineRules], machines: NDArray[np.void], forest: NDArray[np.void]
) -> None:
    """Fill in the trees of all replicas; a common private node has no parent until it is sent."""
    m = len(load.prefixes)
    for machine, rule in zip(machines, rules, strict=True):
        if not rule.prefix_caching:
            continue
        tree, leaf = nodes(load, rule), machine["leaf"]
        if machine["tree"] == NOBODY:
            whole = forest[leaf - m : leaf + len(load)]
            whole[:] = tree
            whole["parent"][tree["parent"] >= 0] += leaf - m
            continue
        shared = forest[machine["tree"] : machine["tree"] + m]
        shared[:] = tree[:m]
        shared["parent"][shared["parent"] >= 0] += machine["tree"]
        forest[leaf:] = tree[m:]
        forest["parent"][leaf:] = NOBODY


def read(world: World, s: State, members: Sequence[Member], refused: Bool) -> FleetLog:
    """Return the log of a run that has ended."""
    machines = s.machines[:-1]
    each = [totals(machine) for machine in machines]
    lines = [line(machine, tracks) for machine, tracks in zip(machines, s.line[:-1], strict=True)]
    rest = iter(each)
    sums = tuple(add([next(rest) for _ in range(places(one))]) for one in members)
    of_members = by_member(lines, [places(one) for one in members])
    return FleetLog(log(s, refused, add(each), together(lines)), world.replica, sums, of_members)
