"""A compact tree of the beginnings that prompts share, from the hashes of their blocks.

Source: the format of Mooncake's traces (kvcache-ai/Mooncake, FAST25-release/traces): equal ids at
the same place, after equal ids, are equal blocks of tokens.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from apex_opt.sim.load import Prefixes
from apex_opt.sim.steps import Int64


def tree(ids: Int64, starts: Int64, prompt_tokens: Int64, block: int) -> tuple[Int64, Prefixes]:
    """Return which beginnings at least two prompts share.

    The tree grows block by block, all prompts at once; a prompt that is alone drops out, so that
    the work is that of the shared blocks. A node stands where prompts part or one of them ends:
    chains of blocks are one node.

    Args:
        ids: (m,) int64, the blocks of all prompts, one prompt after the other.
        starts: (n + 1,) int64, where the blocks of each prompt begin and end in `ids`.
        prompt_tokens: (n,) int64; block b of a prompt, from 0, begins before its end.
        block: tokens of a block; the last one of a prompt may be shorter.

    Returns:
        (n,) int64, the node with which each prompt begins, or -1; and the nodes.
    """
    counts = np.diff(starts)
    _, names = np.unique(ids, return_inverse=True)
    nodes = _Nodes()
    prefix = np.full(len(counts), -1, np.int64)
    live, group = np.arange(len(counts)), np.zeros(len(counts), np.int64)
    above = np.full(1, -1, np.int64)  # by group: the last node on its way
    depth = 0
    while len(live):
        on = counts[live] > depth
        children = _Children.of(group[on], names[starts[live[on]] + depth])
        if depth:
            size = np.bincount(group)
            parts = children.largest(len(size)) < size  # elsewhere all go on together
            end = np.full(len(size), depth * block, np.int64)
            np.minimum.at(end, group, prompt_tokens[live])
            above[parts] = nodes.add(above[parts], end[parts])
            here = parts[group]
            prefix[live[here]] = above[group[here]]
        shared = children.size > 1
        above = above[children.parent[shared]]
        stay = shared[children.of_each]
        live, group = live[on][stay], (np.cumsum(shared) - 1)[children.of_each[stay]]
        depth += 1
    return prefix, nodes.prefixes()


@dataclass(frozen=True)
class _Children:
    """Groups of prompts whose next block is the same.

    Attributes:
        parent: (k,) int64, the group that each was a part of.
        size: (k,) int64, prompts.
        of_each: (n,) int64, the new group of each prompt.
    """

    parent: Int64
    size: Int64
    of_each: Int64

    @staticmethod
    def of(group: Int64, block: Int64) -> _Children:
        """Return the groups of prompts with equal `group` and equal `block`, both from 0."""
        width = int(block.max(initial=0)) + 1
        keys, of_each, size = np.unique(
            group * width + block, return_inverse=True, return_counts=True
        )
        return _Children(keys // width, size, of_each)

    def largest(self, groups: int) -> Int64:
        """Return the size of the largest part of each of the old groups."""
        largest = np.zeros(groups, np.int64)
        np.maximum.at(largest, self.parent, self.size)
        return largest


@dataclass
class _Nodes:
    """The nodes so far, parents before children."""

    parent: list[Int64] = field(default_factory=list)
    tokens: list[Int64] = field(default_factory=list)
    size: int = 0

    def add(self, parent: Int64, tokens: Int64) -> Int64:
        """Add nodes and return their numbers."""
        numbers = np.arange(self.size, self.size + len(parent))
        self.parent.append(parent)
        self.tokens.append(tokens)
        self.size += len(parent)
        return numbers

    def prefixes(self) -> Prefixes:
        empty = [np.empty(0, np.int64)]
        return Prefixes(np.concatenate(self.parent or empty), np.concatenate(self.tokens or empty))
