"""What prompts have in common: the least of each that must be computed where prefixes are cached.

What a replica computes of prompts is at least the tokens of the tree of prefixes that its requests
touch, each once, and of every prompt the last token. So that this can be summed over requests,
wherever they are routed, each node belongs to one request: the shortest prompt that begins with it,
of equal ones the first. A request's own tokens are then the end of its prompt, never shared with
what belongs to another. (Had a longer prompt a node in which a shorter one ends, the shorter one's
last token would count twice.)
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from apex_opt.sim.load import Load
from apex_opt.sim.steps import Int64


@dataclass(frozen=True)
class Content:
    """Tokens of each prompt, (n,) int64, at least 1.

    Attributes:
        own: those that belong to it: the replicas of a fleet compute at least these.
        alone: those that no other prompt has: the request itself computes at least these.
        shared: the others, where they lie in the cache beside those of other running requests.
    """

    own: Int64
    alone: Int64
    shared: Int64


def content(load: Load) -> Content:
    """Return what must be computed of each prompt where prefixes are cached.

    A turn of a session finds what was said before, but for the last token of the reply, which was
    never computed. Blocks that are shared in part are taken as shared whole: a bound from below.
    """
    prompt = load.prompt_tokens
    own, alone = prompt, prompt
    if len(load.prefix):
        own, alone = prompt - _begun(load, _owners(load)), prompt - _begun(load, _only(load))
    shared = prompt - alone
    if len(load.after):
        follows = load.after >= 0
        said = prompt[load.after] + load.output_tokens[load.after] - 1
        own, alone = (np.where(follows, prompt - said, tokens) for tokens in (own, alone))
        for later in np.flatnonzero(follows):  # what the session's first prompt shares
            shared[later] = shared[load.after[later]]
    return Content(np.maximum(own, 1), np.maximum(alone, 1), shared)


def _owners(load: Load) -> Int64:
    """Return (nodes + 1,) the request to which each node belongs; the last stands for none."""
    order = np.lexsort((np.arange(len(load)), load.prompt_tokens))
    rank = np.empty(len(load), np.int64)
    rank[order] = np.arange(len(load))
    least = np.full(len(load.prefixes) + 1, len(load), np.int64)
    np.minimum.at(least, load.prefix, rank)
    parent = load.prefixes.parent
    for node in range(len(parent) - 1, -1, -1):
        above = parent[node]
        if above >= 0:
            least[above] = min(least[above], least[node])
    return np.append(order, -1)[least]


def _only(load: Load) -> Int64:
    """Return (nodes + 1,) the one request that has each node, or -1 where there are several."""
    last = len(load.prefixes)
    count, owner = np.zeros(last + 1, np.int64), np.full(last + 1, -1, np.int64)
    np.add.at(count, load.prefix, 1)
    owner[load.prefix] = np.arange(len(load))
    parent = load.prefixes.parent
    for node in range(last - 1, -1, -1):
        above = parent[node]
        if above >= 0:
            count[above] += count[node]
            owner[above] = max(owner[above], owner[node])
    return np.where(count == 1, owner, -1)


def _begun(load: Load, owner: Int64) -> Int64:
    """Return the tokens up to the last node on each prompt's path that is not its own."""
    parent = np.append(load.prefixes.parent, -1)
    tokens = np.append(load.prefixes.tokens, 0)
    at = load.prefix.copy()
    mine = np.flatnonzero((at >= 0) & (owner[at] == np.arange(len(at))))
    while len(mine):
        at[mine] = parent[at[mine]]
        mine = mine[(at[mine] >= 0) & (owner[at[mine]] == mine)]
    begun: Int64 = tokens[at]
    return begun
