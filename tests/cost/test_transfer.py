import dataclasses

import pytest

from apex_opt.cost.transfer import transfer
from apex_opt.spec.pools import Network
from tests.shapes import shape

# Llama 3.1 8B: 32 layers of 8 heads of 128 keys and as many values, 2 bytes each.
TOKEN = 32 * 2 * 8 * 128 * 2
SLOW = Network(bandwidth_gbps=80.0, latency_us=7.0, efficiency=0.5)  # 5 GB/s


def on(network, **knobs):
    return dataclasses.replace(shape(**knobs), network=network)


def test_a_token_takes_its_bytes_over_the_network():
    found = transfer(on(SLOW), on(SLOW), same_node=False)
    assert found.token_s == pytest.approx(TOKEN / 5e9)
    assert found.begin_s == pytest.approx(7e-6)


@pytest.mark.parametrize(
    ("source", "target", "slowest"),
    [
        (1, 4, TOKEN),  # one device sends all
        (4, 1, TOKEN),  # one takes in all
        (4, 2, TOKEN / 2),
        (2, 16, TOKEN),  # 8 heads over 16 devices: each is sent twice, by two devices
    ],
)
def test_the_side_with_fewer_devices_is_the_slower_one(source, target, slowest):
    found = transfer(on(SLOW, tensor=source), on(SLOW, tensor=target), same_node=False)
    assert found.token_s == pytest.approx(slowest / 5e9)


def test_stages_take_in_their_layers_side_by_side():
    found = transfer(on(SLOW, pipeline=4), on(SLOW, pipeline=2), same_node=False)
    assert found.token_s == pytest.approx(TOKEN / 2 / 5e9)


def test_a_cache_in_half_the_bytes_moves_twice_as_fast():
    pair = [on(SLOW, kv_cache="fp8") for _ in range(2)]
    assert transfer(*pair, same_node=False).token_s == pytest.approx(TOKEN / 2 / 5e9)


def test_inside_a_node_without_peer_access_caches_pass_through_host_memory():
    pair = [on(SLOW, device="rtx-pro-6000") for _ in range(2)]
    found = transfer(*pair, same_node=True)
    assert found.token_s == pytest.approx(TOKEN / 16e9)
    assert found.begin_s == pytest.approx(20e-6)


def test_inside_a_node_caches_take_its_link():
    found = transfer(on(SLOW), on(SLOW), same_node=True)
    wire = shape().pool.device.link
    rate = wire.bandwidth_gbytes_per_s * 1e9 * wire.efficiency
    assert found.token_s == pytest.approx(TOKEN / rate)
    assert found.begin_s == pytest.approx(wire.latency_us * 1e-6)


def test_recurrent_state_moves_before_the_first_token():
    pair = [on(SLOW, model="qwen3-next-80b-a3b", tensor=2) for _ in range(2)]
    found = transfer(*pair, same_node=False)
    assert found.begin_s > 7e-6 + 1e6 / 5e9  # megabytes of state
