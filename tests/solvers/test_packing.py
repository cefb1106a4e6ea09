import re
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apex_opt.solvers.packing import is_chain, patterns, place


@pytest.mark.parametrize(
    ("sizes", "chain"),
    [((), True), ((3,), True), ((8, 4, 2, 1), True), ((6, 3, 3), True), ((3, 2), False)],
)
def test_a_chain_is_where_each_size_divides_the_next(sizes: tuple[int, ...], chain: bool):
    assert is_chain(sizes) is chain


def test_patterns_are_the_fillings_to_which_no_group_can_be_added():
    assert patterns(8, (3, 2)) == ((2, 1), (1, 2), (0, 4))
    assert patterns(4, ()) == ((),)


def test_too_many_patterns_are_refused():
    told = re.escape(
        "groups of 12, 9, 8, 6, 4, 3, 2, 1 devices fill a node of 72 in more than 10000 ways; "
        "allow fewer sizes, or sizes that divide each other"
    )
    with pytest.raises(ValueError, match=f"^{told}$"):
        patterns(72, (12, 9, 8, 6, 4, 3, 2, 1))


@pytest.mark.parametrize(
    ("nodes", "groups", "where"),
    [
        (0, [], []),
        (1, [8], [((0, 8),)]),
        (1, [8, 1], None),
        (2, [2, 4, 8, 2], [((1, 2),), ((1, 4),), ((0, 8),), ((1, 2),)]),
        (3, [4, 16], [((2, 4),), ((0, 8), (1, 8))]),
        (2, [4, 16], None),
        (1, [16], None),
    ],
)
def test_the_largest_groups_are_placed_first(nodes: int, groups: list[int], where: object):
    assert place(nodes, 8, groups) == where


def test_a_search_finds_what_largest_first_misses():
    # Largest first puts 4 + 4 on one node, 3 + 3 + 3 on the other, and has no room for the last 3.
    groups = [4, 4, 3, 3, 3, 3]
    found = place(2, 10, groups)
    assert found is not None
    loads = [sum(groups[i] for i in range(6) if found[i][0][0] == node) for node in range(2)]
    assert loads == [10, 10]


def fits(nodes: int, node: int, groups: list[int]) -> bool:
    """Try every node for every group."""
    return any(
        all(sum(g for g, at in zip(groups, seats, strict=True) if at == k) <= node for k in seats)
        for seats in product(range(nodes), repeat=len(groups))
    )


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 3), st.integers(4, 10), st.lists(st.integers(1, 7), max_size=6))
def test_groups_are_placed_exactly_where_they_can_be(nodes: int, node: int, groups: list[int]):
    groups = [min(group, node) for group in groups]
    found = place(nodes, node, groups)
    assert (found is not None) == fits(nodes, node, groups)
    if found is not None:
        loads = [0] * nodes
        for stand, group in zip(found, groups, strict=True):
            assert [devices for _, devices in stand] == [group]
            loads[stand[0][0]] += group
        assert max(loads) <= node
