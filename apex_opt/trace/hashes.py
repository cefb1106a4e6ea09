"""Ids of the blocks of prompts: the same for what prompts share, as Mooncake's traces have them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count

from apex_opt.trace.trace import Trace


def block_ids(trace: Trace, block: int) -> Iterator[list[int]]:
    """Yield the ids of each prompt's blocks, new ids counting from 0 in order of use.

    A block is shared where all of it is, or all of two prompts. What is shared of a block in part
    is lost.

    Args:
        trace: with prefixes.
        block: tokens of a block; the last one of a prompt may be shorter.
    """
    tree = _Blocks(trace.prefixes.parent.tolist(), trace.prefixes.tokens.tolist(), block)
    for node, prompt in zip(trace.prefix.tolist(), trace.prompt_tokens.tolist(), strict=True):
        ids = tree.begin(node, prompt)
        missing = -(-prompt // block) - len(ids)
        yield ids + [next(tree.fresh) for _ in range(missing)]


@dataclass
class _Blocks:
    """The ids of the blocks of each node, given when they are first used."""

    parent: list[int]
    tokens: list[int]
    block: int
    fresh: count[int] = field(default_factory=count)
    own: dict[int, list[int]] = field(default_factory=dict)
    ends: dict[int, int] = field(default_factory=dict)

    def begin(self, node: int, prompt: int) -> list[int]:
        """Return the ids of the blocks of a prompt that its node tells."""
        way = [node] if node >= 0 else []
        while way and self.parent[way[-1]] >= 0:
            way.append(self.parent[way[-1]])
        ids = [each for step in reversed(way) for each in self._own(step)]
        if way and self.tokens[node] == prompt and prompt % self.block:
            if node not in self.ends:
                self.ends[node] = next(self.fresh)
            ids.append(self.ends[node])
        return ids

    def _own(self, node: int) -> list[int]:
        """Return the ids of the blocks that end in a node and not before it."""
        if node not in self.own:
            above = self.tokens[self.parent[node]] if self.parent[node] >= 0 else 0
            blocks = self.tokens[node] // self.block - above // self.block
            self.own[node] = [next(self.fresh) for _ in range(blocks)]
        return self.own[node]
