import dataclasses

import pytest

from apex_opt.cost.memory import fit
from apex_opt.spec import catalog
from tests.shapes import SETTINGS, shape, unlike


def test_components_add_up_to_the_device():
    memory = fit(shape("llama-3.1-70b", tensor=4)).memory
    parts = memory.weights + memory.activations + memory.graphs + memory.other + memory.reserve
    assert parts + memory.room == memory.total
    assert 0 <= memory.room - memory.kv_cache < 16 * 80 * 2 * 2 * 128 * 2


def test_blocks_hold_keys_and_values_of_every_layer():
    # 32 layers, 8 heads of 128, keys and values, 2 bytes, 16 tokens a block: 2 MiB.
    found = fit(shape("llama-3.1-8b"))
    assert found.memory.kv_cache == found.blocks * 2 * 2**20


def test_an_8_bit_cache_holds_twice_the_tokens():
    wide, narrow = fit(shape(kv_cache="bf16")), fit(shape(kv_cache="fp8"))
    assert narrow.blocks == pytest.approx(2 * wide.blocks, abs=1)


@pytest.mark.parametrize(
    ("asked", "context"),
    [
        ({"model": "deepseek-v3", "weights": "fp8-block", "device": "h200-sxm-141gb"}, 8),
        ({"model": "qwen3-235b-a22b", "device": "h200-sxm-141gb"}, 2),
    ],
)
def test_a_cache_that_is_spread_holds_as_many_times_the_tokens(asked, context):
    copied, spread = (fit(shape(**asked, tensor=8, context=c)) for c in (1, context))
    assert copied.blocks > 0
    assert (spread.blocks, spread.paging.page) == (copied.blocks, copied.paging.page)
    assert spread.paging.tokens(spread.blocks, 8192, 16 * context) == 16 * context * copied.blocks


def test_weights_that_do_not_fit_leave_no_blocks():
    found = fit(shape("llama-3.1-70b", tensor=1))
    assert found.blocks == 0
    assert found.memory.room < 0


def test_the_fullest_stage_fixes_the_blocks():
    # 61 layers in 31 + 30: the stage of 30 layers holds the head, that of 31 the embedding.
    both = fit(shape("deepseek-v3", tensor=8, pipeline=2, weights="fp8-block"))
    alone = fit(shape("deepseek-v3", "h200-sxm", tensor=8, weights="fp8-block"))
    assert both.blocks > alone.blocks > 0


def test_pinned_blocks_are_taken_as_they_are():
    pinned = dataclasses.replace(SETTINGS, num_gpu_blocks=2588)
    assert fit(shape(device="rtx-4090", settings=pinned)).blocks == 2588


def test_computed_blocks_come_near_those_of_a_real_run():
    # vLLM 0.19, RTX 4090, Llama-3.1-8B, utilisation 0.9, 2,048 tokens, 256 sequences: 2,588.
    assert fit(shape(device="rtx-4090")).blocks == pytest.approx(2588, rel=0.01)


def test_recurrent_state_takes_blocks_by_the_sequence():
    assert fit(shape("qwen3-next-80b-a3b", tensor=4)).sequence_blocks > 0
    assert fit(shape("qwen3-32b", tensor=4)).sequence_blocks == 0


def test_a_reserve_of_the_spec_beyond_the_engines_is_left_free():
    plain, kept = fit(shape()), fit(shape(reserve=0.3))
    assert plain.memory.reserve == pytest.approx(0.1 * plain.memory.total, rel=1e-6)
    assert kept.memory.reserve == pytest.approx(0.3 * kept.memory.total, rel=1e-6)
    assert kept.blocks < plain.blocks


def test_tied_embeddings_are_held_once_on_one_stage_and_twice_on_two():
    one, two = fit(shape("gemma-2-9b")), fit(shape("gemma-2-9b", pipeline=2))
    matrix = 2 * 256000 * 3584
    assert two.memory.weights > matrix
    assert one.memory.weights < 2 * 9.3e9


def ruled(engine, version, utilization=0.8):
    chosen = dataclasses.replace(SETTINGS, engine=engine, gpu_memory_utilization=utilization)
    s = shape(settings=chosen)
    return fit(dataclasses.replace(s, release=catalog.release(engine, version))).memory


def test_a_share_of_the_total_is_for_everything_in_vllm():
    memory = ruled("vllm", "0.19")
    used = memory.weights + memory.activations + memory.graphs + memory.other + memory.room
    assert used == pytest.approx(0.8 * memory.total, abs=1)


def test_a_share_of_the_total_is_for_weights_and_cache_in_sglang():
    memory = ruled("sglang", "0.5")
    assert memory.weights + memory.room == pytest.approx(0.8 * memory.total, abs=1)
    # Where buffers need more than the rest, they have it.
    full = ruled("sglang", "0.5", 0.98)
    assert full.reserve == 0
    assert full.weights + full.room < 0.98 * full.total


def test_a_share_is_of_what_the_rest_leaves_in_tensorrt_llm():
    memory = ruled("tensorrt-llm", "1.0")
    left = memory.total - memory.weights - memory.activations - memory.graphs - memory.other
    assert memory.room == pytest.approx(0.8 * left, abs=1)


def test_engines_that_profile_no_sampling_hold_plain_logits():
    many = dataclasses.replace(SETTINGS, max_num_seqs=2048)
    vllm = fit(shape(settings=many)).memory.activations
    other = fit(shape(settings=dataclasses.replace(many, engine="tensorrt-llm"))).memory.activations
    assert vllm - other == 2048 * 128_256 * (26 - 6)


def test_of_unlike_devices_each_holds_its_own_stage_and_the_worst_fixes_the_blocks():
    plain = shape("llama-2-70b", pipeline=6)
    devices = ["a100-sxm-40gb"] * 4 + ["l4"] * 2
    # A layer of 1.7 GB: 18 and the embedding leave the least of 40 GB, 4 leave more of 24 GB.
    found = fit(unlike(plain, devices, (18, 18, 18, 18, 4, 4)))
    assert found.stage == 0
    assert found.memory.total == catalog.device("a100-sxm-40gb").memory_bytes
    full = fit(unlike(plain, devices, (16, 16, 16, 16, 4, 12)))
    assert (full.stage, full.blocks) == (5, 0)
    assert full.memory.total == catalog.device("l4").memory_bytes
    assert full.memory.room < 0
