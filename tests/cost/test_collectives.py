import numpy as np
import pytest

from apex_opt.cost.collectives import all_gather, all_reduce, stage_hop
from tests.shapes import shape

SIZES = np.array([0.0, 1e3, 1e6, 1e9])


def test_one_device_has_nobody_to_talk_to():
    assert all_reduce(shape(tensor=1), SIZES).tolist() == [0, 0, 0, 0]
    assert all_gather(shape(tensor=1), SIZES).tolist() == [0, 0, 0, 0]


def test_nothing_to_send_takes_no_time():
    assert all_reduce(shape(tensor=8), SIZES)[0] == 0
    assert stage_hop(shape(tensor=8, pipeline=2), 0, SIZES)[0] == 0


@pytest.mark.parametrize("tensor", [2, 4, 8])
def test_an_all_reduce_moves_two_shares_of_its_bytes_over_the_link(tensor):
    s = shape(tensor=tensor)
    link = s.pool.device.link
    least = 2 * (tensor - 1) / tensor * 1e9 / (link.bandwidth_gbytes_per_s * 1e9)
    seconds = all_reduce(s, SIZES)[3]
    assert least < seconds < 2 * least


def test_an_all_gather_moves_half_of_an_all_reduce():
    s = shape(tensor=8)
    big = np.array([1e12])
    assert all_reduce(s, big)[0] == pytest.approx(2 * all_gather(s, big)[0], rel=1e-4)


def test_a_group_over_two_nodes_waits_for_the_network():
    inside, across = shape("llama-3.1-405b", tensor=8), shape("llama-3.1-405b", tensor=16)
    assert all_reduce(across, SIZES)[1] > all_reduce(inside, SIZES)[1] + 9e-6
    assert all_reduce(across, SIZES)[3] > all_reduce(inside, SIZES)[3]


def test_a_hop_inside_a_node_is_faster_than_between_nodes():
    inside = stage_hop(shape(tensor=4, pipeline=2), 0, SIZES)
    between = stage_hop(shape(tensor=8, pipeline=2), 0, SIZES)
    assert inside[1] < between[1]


def test_groups_that_do_not_fill_a_node_hop_inside_it_all_the_same():
    # Two groups of 3 stand in a node of 8: stages 0 and 1, 2 and 3.
    hops = [stage_hop(shape(tensor=3, pipeline=4), stage, SIZES)[1] for stage in range(3)]
    assert hops[0] == hops[2] < hops[1]
