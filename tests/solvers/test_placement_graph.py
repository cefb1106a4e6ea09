from apex_opt.solvers.placement_graph import INSIDE, graph, longest_run
from tests.solvers.placements import group, question


def test_one_pipeline_with_equal_hops_counts_stages():
    found = graph(question(group()))
    inside = [edge for edge in found.edges if edge.tail == edge.head == (INSIDE, -1)]
    assert found.by_count
    # One, two or three layers inside; each as often as five layers have room for it.
    assert sorted((edge.run_layers, edge.most) for edge in inside) == [(1, 5), (2, 2), (3, 1)]


def test_several_pipelines_are_placed_layer_by_layer():
    found = graph(question(group(), pipelines=2))
    assert not found.by_count
    # Stages of one to three of five layers.
    assert len(found.edges) == 5 + 4 + 3


def test_unlike_hops_are_edges():
    found = graph(question(group(), group(), hop_ns=((0, 1), (2, 3))))
    hops = [edge for edge in found.edges if edge.group < 0]
    # Between any two of five layers, from either group to either.
    assert sorted(edge.ns for edge in hops) == [0] * 4 + [1] * 4 + [2] * 4 + [3] * 4


def test_groups_larger_than_their_pool_have_no_stages():
    assert graph(question(group(devices=4))).edges == ()


def test_the_longest_run_is_found():
    data = question(group(layer_bytes=(1, 1), layers_ns=((0, 1),) * 2), runs=((1, 2), (0, 3)))
    assert longest_run(data) == (2, 5)
