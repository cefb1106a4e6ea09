from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apex_opt.sim.load import Prefixes
from apex_opt.trace.radix import tree

BLOCK = 10


def grown(*hashes: list[int], prompts: list[int] | None = None) -> tuple[list[int], Prefixes]:
    """Return the tree of prompts with these blocks, all full unless lengths are given."""
    ids = np.array([h for row in hashes for h in row], np.int64)
    starts = np.cumsum([0, *map(len, hashes)])
    tokens = np.array(prompts or [max(len(row) * BLOCK, 1) for row in hashes], np.int64)
    prefix, nodes = tree(ids, starts, tokens, BLOCK)
    return prefix.tolist(), nodes


def test_a_chain_of_shared_blocks_is_one_node() -> None:
    prefix, nodes = grown([1, 2, 3, 4], [1, 2, 3, 5], [9])
    assert prefix == [0, 0, -1]
    assert nodes.parent.tolist() == [-1]
    assert nodes.tokens.tolist() == [30]


def test_a_node_stands_where_prompts_part_and_where_one_ends() -> None:
    prefix, nodes = grown([1, 2, 3], [1, 2, 3, 4], [1, 2, 7], [1, 2, 7, 8], [1])
    assert nodes.parent.tolist() == [-1, 0, 1, 1]
    assert nodes.tokens.tolist() == [10, 20, 30, 30]
    assert prefix == [2, 2, 3, 3, 0]


def test_equal_ids_after_unequal_ones_are_not_shared() -> None:
    prefix, nodes = grown([1, 2], [3, 2])
    assert prefix == [-1, -1]
    assert len(nodes) == 0


def test_equal_prompts_share_their_last_block_in_part() -> None:
    prefix, nodes = grown([1, 2], [1, 2], [1, 2], prompts=[17, 17, 17])
    assert prefix == [0, 0, 0]
    assert nodes.tokens.tolist() == [17]


def test_prompts_without_blocks_share_nothing() -> None:
    prefix, nodes = grown([], [])
    assert prefix == [-1, -1]
    assert len(nodes) == 0


def test_ids_may_be_any_whole_numbers() -> None:
    prefix, _ = grown([-5, 2**61], [-5, 2**61], [2**61])
    assert prefix == [0, 0, -1]


def common(one: list[int], other: list[int]) -> int:
    """Return how many blocks two prompts share."""
    return next(
        (k for k, (a, b) in enumerate(zip(one, other, strict=False)) if a != b),
        min(len(one), len(other)),
    )


@given(st.lists(st.lists(st.integers(0, 2), max_size=6), min_size=1, max_size=12))
@settings(max_examples=150, deadline=None)
def test_each_prompt_begins_with_the_longest_that_another_has_too(rows: list[list[int]]) -> None:
    prefix, nodes = grown(*rows)
    for i, row in enumerate(rows):
        longest = max((common(row, other) for j, other in enumerate(rows) if j != i), default=0)
        assert (nodes.tokens[prefix[i]] if prefix[i] >= 0 else 0) == longest * BLOCK
    for i, row in enumerate(rows):
        for j, other in enumerate(rows[:i]):
            ways = [set(way(nodes, prefix[k])) for k in (i, j)]
            shared = max((nodes.tokens[node] for node in ways[0] & ways[1]), default=0)
            assert shared == common(row, other) * BLOCK
    below = nodes.parent >= 0
    assert (nodes.parent < np.arange(len(nodes))).all()
    assert (nodes.tokens[below] > nodes.tokens[nodes.parent[below]]).all()
    # Compact: a node has a prompt of its own, or at least two children.
    children = np.bincount(nodes.parent[below], minlength=len(nodes))
    assert ((children >= 2) | np.isin(np.arange(len(nodes)), prefix)).all()


def way(nodes: Prefixes, node: int) -> list[int]:
    """Return a node and those above it."""
    found = []
    while node >= 0:
        found.append(node)
        node = int(nodes.parent[node])
    return found


@pytest.mark.parametrize("n", [50_000])
def test_a_long_chain_costs_no_more_than_its_blocks(n: int) -> None:
    prefix, nodes = grown(list(range(n)), list(range(n)))
    assert prefix == [0, 0]
    assert nodes.tokens.tolist() == [n * BLOCK]
