"""The twin's prefix cache: sets of blocks and plain lists of nodes, longest unused first.

A block is a pair (node, j): the j-th block of every prompt whose path goes through the node.
"""

from __future__ import annotations

from dataclasses import dataclass

from apex_opt.sim.load import Load


@dataclass(eq=False)
class Node:
    """Tokens start + 1 .. end of the prompts that go through it."""

    start: int
    end: int
    users: int = 0


Block = tuple[Node, int]
Path = list[Node]


def paths(load: Load) -> list[Path]:
    """Return the nodes of each request, from the root to its own."""
    prefixes: list[Path] = []
    for parent, tokens in zip(load.prefixes.parent, load.prefixes.tokens, strict=True):
        prefixes.append(extended(prefixes[parent] if parent >= 0 else [], int(tokens)))
    found: list[Path] = []
    for i in range(len(load)):
        above: Path = []
        if len(load.after) and load.after[i] >= 0:
            above = found[load.after[i]]
        elif len(load.prefix) and load.prefix[i] >= 0:
            above = prefixes[load.prefix[i]]
        found.append(extended(above, int(load.prompt_tokens[i] + load.output_tokens[i])))
    return found


def extended(above: Path, end: int) -> Path:
    return [*above, Node(above[-1].end if above else 0, end)]


class Cache:
    def __init__(self, block_tokens: int, host_blocks: int) -> None:
        self.block_tokens, self.host_blocks = block_tokens, host_blocks
        self.here: set[Block] = set()
        self.unused: list[Node] = []
        self.host: set[Block] = set()
        self.host_order: list[Node] = []

    # ---- what a request finds

    def block(self, path: Path, j: int) -> Block:
        """Return the j-th block of a path: it belongs to the node where its last token lies."""
        last = j * self.block_tokens
        return next((node, j) for node in path if node.start < last <= node.end)

    def find(self, path: Path, most: int) -> list[Block]:
        """Return the blocks in cache or host memory without a break from the root."""
        found: list[Block] = []
        while len(found) < most:
            block = self.block(path, len(found) + 1)
            if block not in self.here | self.host:
                break
            found.append(block)
        return found

    def pins(self, path: Path) -> int:
        """Return the blocks that are no longer free when the path is used."""
        return sum(1 for node, _ in self.here if node in path and not node.users)

    def in_use(self) -> int:
        return sum(1 for node, _ in self.here if node.users)

    # ---- who uses it

    def use(self, path: Path) -> None:
        for node in path:
            node.users += 1
            if node in self.unused:
                self.unused.remove(node)

    def leave(self, path: Path) -> None:
        for node in reversed(path):
            node.users -= 1
            if not node.users and self.deepest(self.here, node):
                self.unused.append(node)

    def enter(self, path: Path, before: int, after: int) -> list[Block]:
        """Take in the full blocks that tokens before + 1 .. after complete; return the new ones."""
        js = range(before // self.block_tokens + 1, after // self.block_tokens + 1)
        new = [b for b in (self.block(path, j) for j in js) if b not in self.here]
        self.here.update(new)
        return new

    # ---- what gives way

    @staticmethod
    def deepest(blocks: set[Block], node: Node) -> int:
        """Return the last block of the node among `blocks`, 0: it has none."""
        return max((j for owner, j in blocks if owner is node), default=0)

    def shrink(self, room: int) -> None:
        """Evict until so many blocks are left."""
        while len(self.here) > room:
            node = self.unused[0]
            j = self.deepest(self.here, node)
            self.here.remove((node, j))
            if not self.deepest(self.here, node):
                self.unused.remove(node)
            if self.host_blocks:
                self.keep(node, j)

    def keep(self, node: Node, j: int) -> None:
        """Have the blocks of the node up to the j-th in host memory."""
        first = node.start // self.block_tokens
        new = {(node, i) for i in range(first + 1, j + 1)} - self.host
        if new:
            self.host |= new
            self.touch([node])
        while len(self.host) > self.host_blocks:
            oldest = self.host_order[0]
            self.host.remove((oldest, self.deepest(self.host, oldest)))
            if not self.deepest(self.host, oldest):
                self.host_order.remove(oldest)

    def touch(self, path: Path) -> None:
        """Move what the path has in host memory to the end of the list, the root last."""
        for node in reversed(path):
            if node in self.host_order:
                self.host_order.remove(node)
            if self.deepest(self.host, node):
                self.host_order.append(node)
