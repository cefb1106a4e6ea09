import pytest

from apex_opt.spec import catalog
from apex_opt.spec.model import (
    DenseFfn,
    LatentAttention,
    LayerKind,
    LinearAttention,
    MoeFfn,
    SoftmaxAttention,
    Vision,
)
from apex_opt.spec.parameters import kind_parameters, parameters, vision_parameters

MODELS = catalog.entries("models")

# Sizes of published checkpoints, as `num_parameters()` of transformers prints them.
EXACT = {
    "falcon-7b": 6_921_720_704,
    "gpt-oss-120b": 116_829_156_672,
    "gpt-oss-20b": 20_914_757_184,
    "gpt2": 124_439_808,
    "llama-2-7b": 6_738_415_616,
    "llama-3.1-8b": 8_030_261_248,
    "llama-3.1-70b": 70_553_706_496,
    "llama-3.1-405b": 405_853_388_800,
    "llama-3.2-1b": 1_235_814_400,
    "llama-3.2-3b": 3_212_749_824,
    "mistral-7b-v0.3": 7_248_023_552,
    "mistral-small-3.1-24b": 24_011_361_280,
    "mixtral-8x7b": 46_702_792_704,
    "qwen2.5-7b": 7_615_616_512,
    "qwen3-4b": 4_022_468_096,
    "qwen3-8b": 8_190_735_360,
    "qwen3-vl-8b": 8_767_123_696,
    "qwen3-vl-30b-a3b": 31_070_754_032,
}


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)
def test_a_model_has_as_many_parameters_as_published(model):
    assert parameters(model).total == pytest.approx(model.published_parameters, rel=0.02)


def test_at_least_forty_models_are_known():
    assert len(MODELS) >= 40


@pytest.mark.parametrize(("name", "total"), EXACT.items())
def test_a_checkpoint_is_counted_to_the_last_parameter(name, total):
    assert parameters(catalog.model(name)).total == total


def test_whisper_counts_a_bias_for_keys_that_have_none():
    checkpoint, attentions = 1_543_490_560, 32 + 2 * 32
    found = parameters(catalog.model("whisper-large-v3")).total
    assert found == checkpoint + attentions * 1280


def test_gemma_4_counts_all_but_a_scalar_of_each_layer():
    assert parameters(catalog.model("gemma-4-31b")).total + 60 == 31_273_088_876
    assert parameters(catalog.model("gemma-4-26b-a4b")).vision == 569_550_384 + 3_244_032


@pytest.mark.parametrize(
    ("name", "active"),
    [
        ("mixtral-8x7b", 12.9e9),
        ("mixtral-8x22b", 39e9),
        ("qwen3-235b-a22b", 22e9),
        ("qwen3-30b-a3b", 3.3e9),
        ("deepseek-v2", 21e9),
        ("deepseek-v3", 37e9),
        ("kimi-k2", 32.6e9),
        ("llama-4-maverick", 17e9),
        ("gemma-4-26b-a4b", 3.8e9),
    ],
)
def test_a_token_uses_as_many_parameters_as_published(name, active):
    assert parameters(catalog.model(name)).active == pytest.approx(active, rel=0.03)


def test_published_active_parameters_of_gpt_oss_leave_the_embedding_out():
    found = parameters(catalog.model("gpt-oss-120b"))
    assert found.active - found.embedding == pytest.approx(5.13e9, rel=0.01)


def test_a_dense_model_uses_all_its_parameters():
    found = parameters(catalog.model("llama-3.1-8b"))
    assert found.active == found.total


def test_the_parts_of_a_model_add_up():
    model = catalog.model("deepseek-v3")
    found = parameters(model)
    layers = sum(count * found.kinds[kind].total for kind, count in model.counts().items())
    assert found.total == layers + found.embedding + found.head + found.extra
    assert found.embedding == found.head == 129_280 * 7168
    assert found.extra == 7168


def test_a_tied_head_is_not_counted_twice():
    found = parameters(catalog.model("gemma-2-9b"))
    assert found.head == 0
    assert found.embedding == 256_000 * 3584


def layer(attention, ffn, **more):
    return kind_parameters(LayerKind(attention=attention, ffn=ffn, **more), hidden=8)


PLAIN = SoftmaxAttention(heads=4, kv_heads=2, head_dim=3)  # 8 x (12 + 6 + 6) + 12 x 8 = 288
SMALL = DenseFfn(width=5)  # 3 x 8 x 5 = 120


def test_a_dense_layer_by_hand():
    found = layer(PLAIN, SMALL)
    assert (found.attention, found.dense_ffn, found.other) == (288, 120, 16)
    assert found.total == found.active == 424


@pytest.mark.parametrize(
    ("change", "attention", "other"),
    [
        ({"bias": "qkv"}, 288, 24),
        ({"bias": "all"}, 288, 32),
        ({"qk_norm": "head"}, 288, 6),
        ({"qk_norm": "full"}, 288, 18),
        ({"sinks": True}, 288, 4),
        ({"output_gate": True}, 288 + 8 * 12, 0),
        ({"shared_key_value": True}, 288 - 8 * 6, 0),
        ({"value_dim": 1}, 8 * (12 + 6 + 2) + 4 * 8, 0),
        ({"cross": True, "bias": "all"}, 2 * 288, 64),
        ({"window_tokens": 16}, 288, 0),
    ],
)
def test_each_feature_of_attention_adds_its_parameters(change, attention, other):
    found = layer(PLAIN.model_copy(update=change), SMALL, norms=0)
    assert (found.attention, found.other) == (attention, other)


def test_a_layer_of_experts_by_hand():
    ffn = MoeFfn(kind="moe", experts=6, top_k=2, width=5, shared_width=7, shared_gate=True)
    found = layer(PLAIN, ffn)
    assert (found.expert, found.experts, found.active_experts) == (120, 720, 240)
    assert (found.shared, found.router, found.dense_ffn) == (3 * 8 * 7 + 8, 48, 0)
    assert found.total - found.active == 4 * 120


@pytest.mark.parametrize(
    ("change", "dense", "other"),
    [
        ({"bias": True}, 0, 6 * (10 + 8 + 1)),
        ({"score_bias": True}, 0, 6),
        ({"gated": False, "bias": True}, 0, 6 * (5 + 8 + 1)),
        ({"dense_width": 2}, 3 * 8 * 2, 0),
    ],
)
def test_each_feature_of_experts_adds_its_parameters(change, dense, other):
    ffn = MoeFfn(kind="moe", experts=6, top_k=2, width=5).model_copy(update=change)
    found = layer(PLAIN, ffn, norms=0)
    assert (found.dense_ffn, found.other) == (dense, other)


def test_a_dense_layer_with_biases_and_layer_norms_by_hand():
    found = layer(PLAIN, DenseFfn(width=5, gated=False, bias=True), norm_bias=True)
    assert found.dense_ffn == 2 * 8 * 5
    assert found.other == 2 * 8 * 2 + 5 + 8


LATENT = LatentAttention(
    kind="latent", heads=2, q_lora_rank=3, kv_lora_rank=4, qk_nope_dim=2, qk_rope_dim=1, value_dim=2
)


def test_latent_attention_by_hand():
    found = layer(LATENT, SMALL, norms=0)
    queries = 8 * 3 + 3 * 2 * 3
    latent = 8 * (4 + 1) + 4 * 2 * (2 + 2)
    assert found.attention == queries + latent + 2 * 2 * 8
    assert found.other == 3 + 4


def test_latent_attention_with_full_queries_by_hand():
    found = layer(LATENT.model_copy(update={"q_lora_rank": None}), SMALL, norms=0)
    assert found.attention == 8 * 2 * 3 + 8 * 5 + 4 * 2 * 4 + 2 * 2 * 8
    assert found.other == 4


def test_an_indexer_adds_its_projections_and_a_layer_norm():
    index = {"index_heads": 2, "index_dim": 5, "index_topk": 16}
    plain = layer(LATENT, SMALL)
    found = layer(LATENT.model_copy(update=index), SMALL)
    assert found.attention - plain.attention == 3 * 2 * 5 + 8 * 5 + 8 * 2
    assert found.other - plain.other == 2 * 5


def test_linear_attention_by_hand():
    a = LinearAttention(kind="linear", key_heads=1, value_heads=2, key_dim=3, value_dim=5)
    found = layer(a, SMALL, norms=0)
    assert found.attention == 8 * (2 * 3 + 2 * 10 + 2 * 2) + 10 * 8
    assert found.other == 4 * (2 * 3 + 10) + 2 * 2 + 5


def test_a_state_space_by_hand():
    a = LinearAttention(
        kind="linear", key_heads=1, value_heads=2, key_dim=3, value_dim=5, update="decay"
    )
    found = layer(a, SMALL, norms=0)
    assert found.attention == 8 * (2 * 3 + 2 * 10 + 2) + 10 * 8
    assert found.other == 5 * (2 * 3 + 10) + 3 * 2 + 10


@pytest.mark.parametrize(
    ("change", "layer"),
    [
        ({}, 4 * 8 * 8 + 2 * 8 * 5 + (4 * 8 + 5 + 8) + 4 * 8),
        ({"bias": False}, 4 * 8 * 8 + 2 * 8 * 5 + 2 * 8),
        ({"gated": True}, 4 * 8 * 8 + 3 * 8 * 5 + (4 * 8 + 10 + 8) + 4 * 8),
    ],
)
def test_an_encoder_of_images_by_hand(change, layer):
    vision = Vision(
        hidden_size=8,
        layers=3,
        heads=2,
        width=5,
        patches=16,
        tokens=4,
        projector_parameters=7,
        extra_parameters=11,
        **change,
    )
    assert vision_parameters(vision) == 3 * layer + 7 + 11
