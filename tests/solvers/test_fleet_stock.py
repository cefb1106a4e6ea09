import pytest

from apex_opt.solvers import fleet_stock as rules
from apex_opt.solvers.fleet_data import PoolData
from tests.solvers.fleets import fleet, kind
from tests.solvers.pinned import holds


@pytest.mark.parametrize(("n", "allowed"), [(0, True), (2, True), (3, False)])
def test_groups_larger_than_a_node_take_whole_nodes(n: int, allowed: bool):
    data = fleet([kind(group_devices=16)], pools=(PoolData(5, 8),))
    assert holds(rules.whole_nodes_fit, data, (n,)) is allowed


@pytest.mark.parametrize(
    ("n", "allowed"),
    [
        ((0, 0, 0), True),
        ((0, 3, 0), True),  # one group of 4 on each of 3 nodes of 6; a rest of 2 devices each
        ((0, 3, 3), True),
        ((0, 4, 0), False),
        ((0, 3, 4), False),
        ((1, 1, 1), True),  # two nodes whole, 4 + 2 on the third
        ((1, 2, 0), False),
        ((1, 1, 2), False),
    ],
)
def test_sizes_that_divide_each_other_fill_nodes_row_by_row(n: tuple[int, int, int], allowed: bool):
    kinds = [kind(group_devices=size) for size in (12, 4, 2)]
    data = fleet(kinds, pools=(PoolData(3, 6),))
    assert holds(rules.groups_fit_chain, data, n) is allowed


@pytest.mark.parametrize(
    ("n", "allowed"),
    [
        ((0, 0, 0), True),
        ((0, 2, 1), True),  # 3 + 3 + 2 fill one node of 8
        ((0, 1, 2), True),
        ((0, 2, 2), False),
        ((0, 4, 2), False),  # 16 devices, but the second node is taken
        ((1, 0, 0), True),
        ((1, 1, 0), False),  # 16 devices are both nodes
    ],
)
def test_other_sizes_fill_nodes_by_patterns(n: tuple[int, int, int], allowed: bool):
    kinds = [kind(group_devices=size) for size in (16, 3, 2)]
    nodes = 2 if n[0] else 1
    data = fleet(kinds, pools=(PoolData(nodes, 8),))
    assert holds(rules.groups_fit_patterns, data, n) is allowed
