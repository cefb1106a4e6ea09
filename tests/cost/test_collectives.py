import dataclasses

import numpy as np
import pytest

from apex_opt.cost.collectives import (
    all_gather,
    all_reduce,
    collective,
    hop,
    near,
    point_to_point,
)
from tests.shapes import shape, unlike

SIZES = np.array([0.0, 1e3, 1e6, 1e9])
OPERATIONS = ["all_reduce", "all_gather", "reduce_scatter", "all_to_all"]


def with_link(s, link):
    return dataclasses.replace(s, pool=s.pool.model_copy(update={"link": link}))


def stage_hop(shape, stage, size_bytes):
    """Return seconds of sending activations from a stage to the next one."""
    ends = shape.at(stage), shape.at(stage + 1)
    return hop(*ends, size_bytes, same_node=near(shape, stage))


@pytest.mark.parametrize("operation", OPERATIONS)
def test_one_device_has_nobody_to_talk_to(operation):
    assert collective(shape(), operation, 1, SIZES).tolist() == [0, 0, 0, 0]


@pytest.mark.parametrize("operation", OPERATIONS)
def test_nothing_to_send_takes_no_time(operation):
    assert collective(shape(), operation, 8, SIZES)[0] == 0


def test_a_hop_that_sends_nothing_takes_no_time():
    assert stage_hop(shape(tensor=8, pipeline=2), 0, SIZES)[0] == 0


@pytest.mark.parametrize("device", ["h100-sxm-80gb", "l40s", "rtx-4090", "rtx-pro-6000", "gb200"])
@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("devices", [2, 3, 4, 8])
def test_no_collective_is_faster_than_its_link(device, operation, devices):
    s = shape(device=device, tensor=devices)
    rounds = 2 if operation == "all_reduce" else 1
    rate = s.pool.device.link.bandwidth_gbytes_per_s * 1e9
    least = rounds * (devices - 1) / devices * SIZES / rate
    seconds = collective(s, operation, devices, SIZES)
    assert (seconds >= least).all()
    assert (np.diff(seconds) > 0).all()


def test_a_large_all_reduce_moves_two_shares_of_its_bytes():
    s = shape(tensor=8)
    least = 2 * 7 / 8 * 1e9 / (s.pool.device.link.bandwidth_gbytes_per_s * 1e9)
    assert all_reduce(s, SIZES)[3] < 1.4 * least


def test_a_small_all_reduce_runs_in_the_engines_own_kernel():
    # 4 KiB over 8 devices: 5 us in one shot, 16 us by NCCL (aiconfigurator-core, H100).
    assert collective(shape(tensor=8), "all_reduce", 8, np.array([4096.0]))[0] < 7e-6


@pytest.mark.parametrize(("devices", "doublings"), [(1, 0), (2, 1), (8, 3)])
def test_devices_of_an_all_reduce_wait_for_the_slowest_of_them(devices, doublings):
    s = shape(tensor=devices)
    own = s.release.overheads.model_copy(update={"sync_us": 4.0})
    s = dataclasses.replace(s, release=s.release.model_copy(update={"overheads": own}))
    waited = all_reduce(s, SIZES) - collective(s, "all_reduce", devices, SIZES)
    assert waited == pytest.approx(np.where(SIZES > 0, doublings * 4e-6, 0.0))


def test_nine_devices_reduce_by_nccl():
    s = shape(tensor=9)
    pool = s.pool.model_copy(update={"devices_per_node": 9})
    seconds = all_reduce(dataclasses.replace(s, pool=pool), np.array([4096.0]))
    assert seconds[0] > 15e-6


def test_the_faster_of_two_all_reduces_is_taken():
    s = shape(tensor=8)
    link = s.pool.device.link
    slow = link.model_copy(update={"collectives": {}})
    bare = all_reduce(with_link(s, slow), SIZES)
    both = all_reduce(s, SIZES)
    assert (both <= bare).all()


def without_peers(s, peer_access=False):
    return dataclasses.replace(s, pool=s.pool.model_copy(update={"peer_access": peer_access}))


@pytest.mark.parametrize(("operation", "passes"), [("all_reduce", 2), ("all_gather", 1)])
def test_without_peer_access_a_collective_passes_through_host_memory(operation, passes):
    # 20 us and 16 GB/s a pass over two RTX PRO 6000; half of the message in each.
    found = collective(shape(device="rtx-pro-6000"), operation, 2, SIZES)
    assert found[1:] == pytest.approx(passes * (20e-6 + SIZES[1:] / 2 / 16e9))


def test_a_pool_says_whether_its_devices_reach_each_other():
    s = shape(device="rtx-pro-6000", tensor=2)
    assert not s.pool.wire.peer_access
    # 4 KiB: 4.5 us where they do (aiconfigurator-core, vLLM 0.24), 2 x 20 us where not.
    reach = collective(without_peers(s, peer_access=True), "all_reduce", 2, np.array([4096.0]))
    assert reach[0] == pytest.approx(4.5e-6, rel=0.1)
    assert collective(s, "all_reduce", 2, np.array([4096.0]))[0] > 40e-6


@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_node_of_nvlink_without_peer_access_is_slower(operation):
    s = shape(tensor=8)
    slow, fast = (collective(x, operation, 8, SIZES) for x in (without_peers(s), s))
    assert (slow[1:] > fast[1:]).all()


def test_messages_inside_a_node_pass_through_host_memory_too():
    found = point_to_point(shape(device="rtx-4090"), SIZES, same_node=True)
    assert found[3] == pytest.approx(11.5e-6 + 1e9 / (0.4 * 32e9))


def test_engines_leave_an_all_reduce_of_more_than_two_devices_over_pcie_to_nccl():
    s = shape(device="l40s", tensor=4)
    nccl = s.pool.device.link.collectives["all_reduce"]
    only = s.pool.device.link.model_copy(update=nccl.model_dump(exclude={"error"}))
    two, four = (
        [collective(x, "all_reduce", n, SIZES)[1] for x in (s, with_link(s, only))] for n in (2, 4)
    )
    assert two[0] < two[1]
    assert four[0] == pytest.approx(four[1])


def test_a_group_over_two_nodes_waits_for_the_network():
    inside, across = shape("llama-3.1-405b", tensor=8), shape("llama-3.1-405b", tensor=16)
    assert all_reduce(across, SIZES)[1] > all_reduce(inside, SIZES)[1] + 9e-6
    assert all_reduce(across, SIZES)[3] > all_reduce(inside, SIZES)[3]


def test_an_all_to_all_sends_half_of_what_a_device_holds_to_the_other_node():
    # 400 Gbit/s, 80 % of it: 40 GB/s a device.
    inside, across = (collective(shape(), "all_to_all", n, np.array([1e9]))[0] for n in (8, 16))
    assert across - inside == pytest.approx(0.5 * 1e9 / 40e9 + 2 * 5e-6)


def test_a_message_inside_a_node_is_faster_than_between_nodes():
    near = point_to_point(shape(), SIZES, same_node=True)
    far = point_to_point(shape(), SIZES, same_node=False)
    assert near[0] == far[0] == 0
    assert near[3] < far[3] == pytest.approx(1e9 / 40e9 + 5e-6)


def test_a_hop_inside_a_node_is_faster_than_between_nodes():
    inside = stage_hop(shape(tensor=4, pipeline=2), 0, SIZES)
    between = stage_hop(shape(tensor=8, pipeline=2), 0, SIZES)
    assert inside[3] < between[3]


def test_a_hop_to_another_pool_takes_the_network_at_the_rate_of_the_slower_port():
    fast, slow = "h100-sxm-80gb", "l4"
    whole = shape(tensor=2, pipeline=4)
    mixed = unlike(whole, [fast, fast, slow, slow])
    hops = [stage_hop(mixed, stage, SIZES) for stage in range(3)]
    alike = [stage_hop(mixed.at(stage), 0, SIZES) for stage in (0, 2)]
    assert (hops[0] == alike[0]).all()
    assert (hops[2] == alike[1]).all()
    sent = max(point_to_point(mixed.at(s), SIZES / 2, same_node=False)[3] for s in (0, 2))
    gathered = all_gather(mixed.at(2), SIZES)[3]
    assert hops[1][3] == pytest.approx(sent + gathered)


def test_stages_of_a_pool_share_its_nodes_whatever_stands_between_them():
    # L4 in nodes of 8: the third stage there stands beside the second in the first node.
    mixed = unlike(shape(tensor=4, pipeline=5), ["l4", "h100-sxm-80gb", "l4", "l4", "l4"])
    near, far = (point_to_point(mixed, SIZES / 4, same_node=near) for near in (True, False))
    gathered = all_gather(mixed, SIZES)
    assert (stage_hop(mixed, 2, SIZES) == far + gathered).all()
    assert (stage_hop(mixed, 3, SIZES) == near + gathered).all()


def test_groups_that_do_not_fill_a_node_hop_inside_it_all_the_same():
    # Two groups of 3 stand in a node of 8: stages 0 and 1, 2 and 3.
    hops = [stage_hop(shape(tensor=3, pipeline=4), stage, SIZES)[1] for stage in range(3)]
    assert hops[0] == hops[2] < hops[1]


def test_an_all_gather_is_one_round_of_what_an_all_reduce_does_in_two():
    s = with_link(shape(tensor=8), shape().pool.device.link.model_copy(update={"collectives": {}}))
    big = np.array([1e12])
    assert all_reduce(s, big)[0] == pytest.approx(2 * all_gather(s, big)[0], rel=1e-2)
