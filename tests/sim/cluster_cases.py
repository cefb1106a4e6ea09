"""Small fleets of all roles, ranks and routers, on which the requests of `cases` are played."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import strategies as st

from apex_opt.sim.load import Load
from apex_opt.sim.member import Member, Role, Routing
from tests.sim.cases import engines, loads, most_blocks, often, table

Fleet = tuple[Load, list[Member], Routing]

ROUTERS = ("round_robin", "random", "least_outstanding", "least_kv", "prefix_affinity")


@st.composite
def routings(draw: st.DrawFn) -> Routing:
    """Any router; caches that move in no time, or for longer than a step."""
    return Routing(
        router=draw(st.sampled_from(ROUTERS)),
        seed=draw(st.integers(0, 3)),
        latency_ns=draw(st.sampled_from([0, 0, 40, 700])),
        token_fs=draw(st.sampled_from([0, 1_500_000, 20_000_000, 90_000_000])),
    )


@st.composite
def members(draw: st.DrawFn, load: Load, role: Role, least: int, most_ranks: int) -> Member:
    """One kind of replica, short of memory more often than not, of weight `least` at least."""
    rules = draw(engines())
    ends = most_blocks(load, rules)
    blocks = max(1, max(ends) + draw(st.sampled_from([0, 0, 1, 2, 4, 10, -1])))
    ranks = min(most_ranks, draw(st.sampled_from([1, 1, 1, 2, 3])))
    stages = draw(st.sampled_from([1, 1, 2, 3])) if ranks == 1 else 1
    rows, tokens = rules.max_seqs * (1 + rules.drafts), rules.max_batch_tokens
    guessing_takes_time = rules.drafts > 0 and draw(st.booleans())
    steps = table(draw(st.integers(0, 1000)), stages, tokens, rows, guessing_takes_time)
    count, weight = draw(st.sampled_from([1, 1, 2])), draw(st.integers(least, 3))
    if role != "mixed":  # what an encoder has read does not move
        rules = replace(rules, cross_cache=False)
    return Member(replace(rules, blocks=blocks), steps, count, weight, role, ranks)


@st.composite
def fleets(
    draw: st.DrawFn, only: tuple[Role, ...] = ("mixed", "prefill", "decode"), most_ranks: int = 3
) -> Fleet:
    """One to four kinds of replicas: mixed ones, or prefill and decode, or all of them."""
    load = draw(loads())
    apart = "mixed" not in only or ("decode" in only and draw(st.booleans()))
    needed: tuple[Role, ...] = ("prefill", "decode") if apart else ("mixed",)
    made = [draw(members(load, role, 1, most_ranks)) for role in needed]
    others = [role for role in only if apart or role == "mixed"]
    while len(made) < 4 and often(draw):
        made.append(draw(members(load, draw(st.sampled_from(others)), 0, most_ranks)))
    return load, draw(st.permutations(made)), draw(routings())
