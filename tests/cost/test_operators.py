import pytest

from apex_opt.cost.encoder import encoder_bytes
from apex_opt.cost.memory import fit, layer_bytes
from apex_opt.cost.operators import Gemm, layer
from apex_opt.cost.rates import Rates
from apex_opt.spec import catalog
from apex_opt.spec.parameters import parameters
from tests.shapes import shape


@pytest.mark.parametrize("name", catalog.names("models"))
def test_weights_of_one_device_are_the_parameters_of_the_model(name):
    # bf16 on one device: every parameter takes two bytes, wherever operators put it.
    whole = shape(name)
    rates = Rates(whole)
    layers = sum(
        count * layer_bytes(rates, layer(whole.model.layers[kind], whole))
        for kind, count in whole.model.counts().items()
    )
    ends = 2 * whole.model.vocab_size * whole.model.hidden_size
    ends = ends * (1 if whole.model.tied_embeddings else 2)
    total = layers + ends + 2 * whole.model.extra_parameters + encoder_bytes(whole)
    assert total / 2 == pytest.approx(parameters(whole.model).total, rel=2e-3)


def test_tensor_parallelism_splits_heads_and_widths():
    one = layer(catalog.model("llama-3.1-70b").layers["dense"], shape("llama-3.1-70b", tensor=8))
    # 64 query and 8 key-value heads of 128 over 8 devices; width 28,672 over 8.
    assert [(g.k, g.n) for g in one.gemms] == [
        (8192, 1024 + 256),
        (1024, 8192),
        (8192, 7168),
        (3584, 8192),
    ]
    assert one.all_reduces == 2


def test_key_value_heads_are_copied_past_their_number():
    whole, split = shape("qwen3-32b", tensor=8), shape("qwen3-32b", tensor=16)
    kind = next(iter(whole.model.layers.values()))
    assert layer(kind, split).attention.kv_bytes == layer(kind, whole).attention.kv_bytes


@pytest.mark.parametrize(("tensor", "heads"), [(1, 128), (8, 16)])
def test_a_state_space_splits_its_heads_and_copies_its_only_group(tensor, heads):
    s = shape("bamba-9b", tensor=tensor)
    one = layer(s.model.layers["mamba"], s)
    # 128 heads of 64, a group with a state of 128; 2 bytes a number, 3 tokens of the convolution.
    inner = 64 * heads
    assert [(g.k, g.n) for g in one.gemms[:3]] == [
        (4096, 2 * 128 + 2 * inner),
        (4096, heads),
        (inner, 4096),
    ]
    assert one.attention.state_bytes == 2 * 128 * inner + 2 * 3 * (2 * 128 + inner)
    assert one.attention.token_flops == 4 * 128 * inner
    assert one.attention.kv_bytes == 0


def test_latent_attention_keeps_its_whole_cache_on_every_device():
    # 512 latent + 64 rotary, two bytes each, whatever TP.
    for tensor in (1, 8):
        one = shape("deepseek-v3", tensor=tensor, weights="fp8-block")
        kind = one.model.layers[one.model.sequence()[-1]]
        assert layer(kind, one).attention.kv_bytes == 1152


def test_sparse_prompts_attend_to_latent_vectors_with_64_heads_or_more():
    # Each query picks other tokens, so nothing is expanded: 576 + 512 products a head and pair.
    for tensor, heads in ((1, 128), (8, 64)):
        s = shape("deepseek-v3.2", tensor=tensor, weights="fp8-block")
        found = layer(s.model.layers["moe"], s).attention
        assert found.pair_flops == 2 * heads * 1088
        assert found.decode_flops == 2 * 128 / tensor * 1088
        assert found.expand_flops == found.expanded_bytes == 0
        # The queries and outputs of 576 and 512 numbers a head, 2 bytes each.
        assert found.io_bytes == 2 * 128 / tensor * 1088
    dense = shape("deepseek-v3", weights="fp8-block")
    assert layer(dense.model.layers["moe"], dense).attention.pair_flops == 2 * 128 * 320


def test_expert_parallelism_holds_whole_experts_of_the_same_bytes():
    sliced = shape("deepseek-v3", tensor=8, weights="fp8-block")
    spread = shape("deepseek-v3", tensor=8, expert=8, weights="fp8-block")
    kind = sliced.model.layers[sliced.model.sequence()[-1]]
    a, b = layer(kind, sliced).experts, layer(kind, spread).experts
    assert (a.local, a.ranks, b.local, b.ranks) == (256, 1, 32, 8)
    assert a.local * a.weights == b.local * b.weights
    assert fit(sliced).memory.weights == fit(spread).memory.weights


def test_experts_in_mxfp4_are_cut_between_blocks_of_32():
    # 90 blocks over 8 devices: the fullest have 12 of them, 384 channels; three matrices of 2,880.
    for weights, width in (("mxfp4", 384), ("bf16", 360)):
        s = shape("gpt-oss-120b", tensor=8, weights=weights)
        assert layer(next(iter(s.model.layers.values())), s).experts.weights == 3 * 2880 * width


def test_a_decoder_that_crosses_has_a_second_attention_and_keys_of_what_the_encoder_reads():
    # T5-XXL over 4 devices: 64 heads of 64; queries, keys, values are 4,096 wide in all.
    one = layer(catalog.model("flan-t5-xxl").layers["dense"], shape("flan-t5-xxl", tensor=4))
    assert [(g.k, g.n) for g in one.gemms] == [
        (4096, 3072),
        (1024, 4096),
        (4096, 1024),
        (1024, 4096),
        (4096, 5120),
        (2560, 4096),
    ]
    assert one.cross == Gemm(4096, 2048)
    assert one.all_reduces == 3
