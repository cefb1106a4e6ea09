from dataclasses import replace

import pytest

from apex_opt.cost.memory import fit
from apex_opt.cost.offload import host_block_ns, host_bytes_per_s
from apex_opt.cost.table import replica_table
from apex_opt.spec import catalog
from apex_opt.spec.pools import Pool
from tests.shapes import SETTINGS, shape

FEW = replace(SETTINGS, max_num_seqs=8, max_num_batched_tokens=64)
LINK = 64e9 * 0.8
DENSE = 8.03e9 - 2 * 128256 * 4096  # weights of the layers of llama-3.1-8b, likewise
EXPERTS = 32 * 8 * 3 * 4096 * 14336  # of mixtral-8x7b; half of 2 bytes each is as many bytes


def offloaded(model="llama-3.1-8b", *, tensor=1, expert=1, **shares):
    return shape(model, tensor=tensor, expert=expert, settings=replace(FEW, **shares))


def test_a_share_of_the_weights_is_read_over_the_link_in_every_step():
    plain, half = (replica_table(offloaded(weight_offload=share)) for share in (0.0, 0.5))
    more = half.decode_ns - plain.decode_ns
    assert more[0, 1] == pytest.approx(DENSE / LINK * 1e9, rel=1e-3)
    assert (more[0, 1:] == more[0, 1]).all()
    assert more[0, 0] == 0
    assert (half.mixed_ns - plain.mixed_ns == more).all()
    assert (half.decode_j[1:] > plain.decode_j[1:]).all()


def test_of_experts_those_are_read_that_the_tokens_visit():
    plain, half = (
        replica_table(offloaded("mixtral-8x7b", tensor=4, expert_offload=share))
        for share in (0.0, 0.5)
    )
    more = (half.decode_ns - plain.decode_ns)[0]
    whole = EXPERTS / 4 / LINK * 1e9
    assert more[1] == pytest.approx(whole * 2 / 8, rel=1e-3)
    assert more[2] == pytest.approx(whole * 4 / (8 - 2 + 4), rel=1e-3)
    assert more[64] == pytest.approx(whole * 128 / (8 - 2 + 128), rel=1e-3)


def test_the_tokens_of_all_ranks_visit_the_experts():
    one, two = (
        replace(offloaded("mixtral-8x7b", expert=2, expert_offload=share), attention_data=2)
        for share in (0.0, 0.5)
    )
    more = (replica_table(two).decode_ns - replica_table(one).decode_ns)[0]
    # Four of the eight experts on each device, two visits for each of 2 x 3 tokens; the fuller
    # device reads 0.589 standard deviations more than the mean.
    read = 12 / (8 - 2 + 12)
    fuller = read + 0.589 * (read * (1 - read) / 4) ** 0.5
    assert more[3] == pytest.approx(EXPERTS / 2 / LINK * 1e9 * fuller, rel=1e-3)


def test_what_is_in_host_memory_is_not_on_the_device():
    plain, half = fit(offloaded()), fit(offloaded(weight_offload=0.5))
    assert plain.memory.weights - half.memory.weights == pytest.approx(DENSE, rel=1e-3)
    moved = fit(offloaded("mixtral-8x7b", tensor=4, expert_offload=0.5)).memory.weights
    saved = fit(offloaded("mixtral-8x7b", tensor=4)).memory.weights - moved
    assert saved == pytest.approx(EXPERTS / 4, rel=1e-3)


def test_a_block_comes_back_at_the_links_rate():
    h100 = Pool(name="p", device=catalog.device("h100-sxm-80gb"))
    assert host_block_ns(h100, 2 * 2**20) == -(-(2 * 2**20) // 51.2)


def test_a_device_without_a_known_link_has_no_rate():
    tpu = Pool(name="p", device=catalog.device("tpu-v5e"))
    with pytest.raises(ValueError, match=r"^no host link of tpu-v5e is known$"):
        host_bytes_per_s(tpu)
