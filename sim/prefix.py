"""The cache of prompt beginnings: a tree of blocks, the least recently used of them lost first.

A node is a run of tokens that some prompts have in common, at the same place and after the same
tokens; each request has a private one for what only it computes. The blocks in which a node's
tokens end are its own: those after `first` up to `last`. `cached` of them, counted from the start
of the prompt, are in the cache. What is in the cache has no gaps: a node has blocks there only if
all nodes above it are complete.

A node is in use while a running sequence has it on its path. Blocks of the others are free, but
still there: their nodes stand in a list, the ones that were used last at its end, below before
above. Whoever takes more blocks than there are empty ones takes them from the head of the list,
the deepest first. So what is in the cache never gets gaps, and a look at one node tells what is
in the cache of those above.

With host memory a lost block is kept there, until it is the least recently used one there too.

Source: vLLM, vllm/v1/core/block_pool.py and kv_cache_manager.py (free queue, eviction from the
tail of a request, at most all tokens but the last are found); SGLang, srt/mem_cache/radix_cache.py
(the tree). Differs from vLLM: empty blocks are taken before the free queue's others, and where the
last block of a prompt has to be computed again it is not held twice.
"""

from __future__ import annotations

from apex_opt.sim.jit import njit_helper, njit_rare
from apex_opt.sim.state import NOBODY, Given, Machine, Node


@njit_rare
def cached_blocks(nodes: list[Node], leaf: int) -> int:
    """Return how many blocks of a path are in the cache, from its start."""
    at = leaf
    while nodes[at].cached == nodes[at].first and nodes[at].parent != NOBODY:
        at = nodes[at].parent
    return nodes[at].cached


@njit_rare
def kept_blocks(nodes: list[Node], leaf: int) -> int:
    """Return how many blocks of a path are in the cache or in host memory, without a gap."""
    blocks, at = nodes[leaf].last, leaf
    while at != NOBODY:
        node = nodes[at]
        here = max(node.cached, node.host)
        if here < node.last:
            blocks = here
        at = node.parent
    return blocks


@njit_rare
def unused_blocks(nodes: list[Node], leaf: int) -> int:
    """Return the blocks of a path that are in the cache and count as free."""
    blocks, at = 0, leaf
    while at != NOBODY and nodes[at].users == 0:
        blocks += nodes[at].cached - nodes[at].first
        at = nodes[at].parent
    return blocks


@njit_rare
def use(m: Machine, nodes: list[Node], leaf: int) -> None:
    """Let a sequence use its path: its blocks there no longer count as free."""
    at = leaf
    while at != NOBODY:
        node = nodes[at]
        node.users += 1
        if node.users > 1:
            return
        if node.cached > node.first:
            m.unused -= node.cached - node.first
            m.free -= node.cached - node.first
            take_out(m, nodes, at)
        at = node.parent


@njit_rare
def leave(m: Machine, nodes: list[Node], leaf: int) -> None:
    """Let a sequence leave its path: blocks that nobody uses are free, the last to be taken."""
    at = leaf
    while at != NOBODY:
        node = nodes[at]
        node.users -= 1
        if node.users > 0:
            return
        if node.cached > node.first:
            m.unused += node.cached - node.first
            m.free += node.cached - node.first
            put_last(m, nodes, at)
        at = node.parent


@njit_rare
def enter(nodes: list[Node], leaf: int, low: int, high: int) -> int:
    """Put blocks low + 1 .. high of a path into the cache; return how many were not there yet."""
    gained, at = 0, leaf
    while at != NOBODY:
        node = nodes[at]
        bottom, top = max(node.first, low), min(node.last, high)
        if top > bottom and node.cached < top:
            gained += top - max(node.cached, bottom)
            node.cached = top
        if node.first <= low:
            break
        at = node.parent
    return gained


@njit_helper
def make_room(g: Given, m: Machine, nodes: list[Node]) -> None:
    """Take blocks from the cache for those that were taken beyond the empty ones."""
    if m.free < m.unused:
        evict(g, m, nodes)


@njit_rare
def evict(g: Given, m: Machine, nodes: list[Node]) -> None:
    """Take the blocks that were used least recently, the deepest of each node first."""
    while m.free < m.unused:
        at = m.oldest_node
        node = nodes[at]
        if g.host_blocks > 0 and node.host < node.cached:
            keep(g, m, nodes, at)
        lost = min(m.unused - m.free, node.cached - node.first)
        node.cached -= lost
        m.unused -= lost
        if node.cached == node.first:
            take_out(m, nodes, at)


@njit_rare
def put_last(m: Machine, nodes: list[Node], at: int) -> None:
    """Put a node at the end of the list of unused ones."""
    node = nodes[at]
    node.before, node.after = m.newest_node, NOBODY
    if m.newest_node == NOBODY:
        m.oldest_node = at
    else:
        nodes[m.newest_node].after = at
    m.newest_node = at


@njit_rare
def take_out(m: Machine, nodes: list[Node], at: int) -> None:
    """Take a node out of the list of unused ones."""
    node = nodes[at]
    if node.before == NOBODY:
        m.oldest_node = node.after
    else:
        nodes[node.before].after = node.after
    if node.after == NOBODY:
        m.newest_node = node.before
    else:
        nodes[node.after].before = node.before


# ---- host memory


@njit_rare
def keep(g: Given, m: Machine, nodes: list[Node], at: int) -> None:
    """Keep a node's blocks in host memory; drop there what was used least recently."""
    node = nodes[at]
    if node.host > node.first:
        host_take_out(m, nodes, at)
    m.hosted += node.cached - node.host
    node.host = node.cached
    host_put_last(m, nodes, at)
    while m.hosted > g.host_blocks:
        old = nodes[m.oldest_host]
        lost = min(m.hosted - g.host_blocks, old.host - old.first)
        old.host -= lost
        m.hosted -= lost
        if old.host == old.first:
            host_take_out(m, nodes, m.oldest_host)


@njit_rare
def host_use(m: Machine, nodes: list[Node], leaf: int) -> None:
    """Make what a path has in host memory the most recently used there."""
    at = leaf
    while at != NOBODY:
        if nodes[at].host > nodes[at].first:
            host_take_out(m, nodes, at)
            host_put_last(m, nodes, at)
        at = nodes[at].parent


@njit_rare
def host_put_last(m: Machine, nodes: list[Node], at: int) -> None:
    """Put a node at the end of the list of those in host memory."""
    node = nodes[at]
    node.host_before, node.host_after = m.newest_host, NOBODY
    if m.newest_host == NOBODY:
        m.oldest_host = at
    else:
        nodes[m.newest_host].host_after = at
    m.newest_host = at


@njit_rare
def host_take_out(m: Machine, nodes: list[Node], at: int) -> None:
    """Take a node out of the list of those in host memory."""
    node = nodes[at]
    if node.host_before == NOBODY:
        m.oldest_host = node.host_after
    else:
        nodes[node.host_before].host_after = node.host_after
    if node.host_after == NOBODY:
        m.newest_host = node.host_before
    else:
        nodes[node.host_after].host_before = node.host_before
