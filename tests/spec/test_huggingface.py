import json
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apex_opt.spec import catalog
from apex_opt.spec.huggingface import (
    FAMILIES,
    ConfigError,
    flatten,
    from_config,
    runs,
)
from apex_opt.spec.model import Model

CONFIGS = json.loads((Path(__file__).parent / "configs.json").read_text(encoding="utf-8"))
LLAMA = CONFIGS["llama-3.1-8b"]
WHOLE = "must be a whole number from 1 to 1,000,000, got"
PUBLISHED = {
    "aliases",
    "checkpoints",
    "published_parameters",
    "published_active_parameters",
    "source",
}


def faults(config):
    with pytest.raises(ConfigError) as fault:
        from_config(config, "x")
    assert str(fault.value) == "\n".join(fault.value.faults)
    return list(fault.value.faults)


@pytest.mark.parametrize("name", CONFIGS)
def test_a_config_gives_the_model_of_the_catalogue(name):
    found = Model.model_validate(from_config(CONFIGS[name], name))
    unsaid = PUBLISHED if "vision_config" in CONFIGS[name] else PUBLISHED | {"vision"}
    assert found.model_dump(exclude=unsaid) == catalog.model(name).model_dump(exclude=unsaid)


def test_every_family_is_tried_by_a_config():
    tried = {flatten(config)["model_type"] for config in CONFIGS.values()}
    assert tried == set(FAMILIES)


def test_a_state_space_with_biased_projections_is_not_known_yet():
    assert faults(CONFIGS["bamba-9b"] | {"mamba_proj_bias": True}) == [
        "mamba_proj_bias: projections with a bias are not known yet"
    ]


def test_granite_without_experts_is_dense():
    config = CONFIGS["granite-4.0-h-small"] | {"num_local_experts": 0, "num_experts_per_tok": 0}
    layers = from_config(config, "x")["layers"]
    assert [kind["ffn"] for kind in layers.values()] == [{"kind": "dense", "width": 1536}] * 2


def test_an_unknown_model_type_is_answered_with_the_known_ones():
    (fault,) = faults({"model_type": "mamba"})
    assert fault == (
        "model_type: unknown, got `'mamba'`; known are bamba, deepseek_v2, deepseek_v3, "
        "deepseek_v32, falcon, gemma2, gemma3_text, gemma4_text, glm4_moe, glm_moe_dsa, gpt2, "
        "gpt_oss, gptj, granitemoehybrid, kimi_k2, llama, llama4_text, minimax_m2, mistral, "
        "mixtral, opt, phi3, qwen2, qwen3, qwen3_5_moe_text, qwen3_5_text, qwen3_moe, qwen3_next, "
        "qwen3_vl_moe_text, qwen3_vl_text, t5, whisper. "
        "For others write the layers by hand, in [model]"
    )


@pytest.mark.parametrize("value", [None, 7, ["llama"], {"llama": 1}])
def test_a_model_type_must_be_a_known_word(value):
    (fault,) = faults({"model_type": value})
    assert fault.startswith("model_type: ")


def test_all_missing_keys_are_told_at_once():
    assert faults({"model_type": "mixtral"}) == [
        "hidden_size: missing",
        "num_attention_heads: missing",
        "num_key_value_heads: must divide num_attention_heads, 1, got `8`",
        "num_local_experts: missing",
        "num_experts_per_tok: missing",
        "intermediate_size: missing",
        "num_hidden_layers: missing",
        "vocab_size: missing",
        "max_position_embeddings: missing",
    ]


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"hidden_size": 0}, f"hidden_size: {WHOLE} `0`"),
        ({"hidden_size": 10**400}, f"hidden_size: {WHOLE} `a huge number`"),
        ({"vocab_size": 1.5}, f"vocab_size: {WHOLE} `1.5`"),
        ({"vocab_size": True}, f"vocab_size: {WHOLE} `True`"),
        ({"vocab_size": "x" * 99}, f"vocab_size: {WHOLE} `'{'x' * 36}...`"),
        (
            {"num_hidden_layers": 1001},
            "num_hidden_layers: must be a whole number from 1 to 1,000, got `1001`",
        ),
        (
            {"num_key_value_heads": 5},
            "num_key_value_heads: must divide num_attention_heads, 32, got `5`",
        ),
        ({"attention_bias": 1}, "attention_bias: must be true or false, got `1`"),
        ({"torch_dtype": 16}, "torch_dtype: must be a string, got `16`"),
        ({"quantization_config": []}, "quantization_config: must be an object, got `[]`"),
    ],
)
def test_a_wrong_value_is_named_with_its_key(change, fault):
    assert faults(LLAMA | change) == [fault]


@pytest.mark.parametrize(
    ("name", "change", "fault"),
    [
        (
            "mixtral-8x7b",
            {"num_experts_per_tok": 9},
            "num_experts_per_tok: must not exceed num_local_experts, 8, got `9`",
        ),
        (
            "gpt-oss-20b",
            {"layer_types": ["full_attention"] * 3},
            "layer_types: must have one entry a layer, 24, got 3",
        ),
        (
            "gpt-oss-20b",
            {"layer_types": ["half"] * 24},
            "layer_types: must be of sliding_attention, full_attention, got `'half'`",
        ),
        ("gpt-oss-20b", {"layer_types": 24}, "layer_types: must be a list, got `24`"),
        (
            "qwen3-30b-a3b",
            {"mlp_only_layers": [0.5]},
            "mlp_only_layers: must be a list of layer numbers, got `[0.5]`",
        ),
        (
            "opt-6.7b",
            {"word_embed_proj_dim": 512},
            "word_embed_proj_dim: must be hidden_size, 4096: projections are not known",
        ),
        (
            "opt-6.7b",
            {"do_layer_norm_before": False},
            "do_layer_norm_before: must be true: models with norms after are not known",
        ),
    ],
)
def test_what_a_family_cannot_be_is_named_with_its_key(name, change, fault):
    assert faults(CONFIGS[name] | change) == [fault]


@pytest.mark.parametrize("key", ["hidden_size_per_layer_input", "num_kv_shared_layers"])
def test_gemma_4_with_per_layer_embeddings_or_shared_caches_is_refused(key):
    config = CONFIGS["gemma-4-31b"]
    text = config["text_config"] | {key: 2}
    assert faults(config | {"text_config": text}) == [
        f"{key}: models with per-layer embeddings or shared caches are not known yet"
    ]


def attention(config):
    return from_config(config, "x")["layers"]["dense"]["attention"]


@pytest.mark.parametrize(
    ("change", "window"),
    [({"sliding_window": None}, None), ({}, 4096), ({"sliding_window": 1024}, 1024)],
)
def test_a_null_window_of_mistral_is_none_and_an_absent_one_its_default(change, window):
    config = {k: v for k, v in CONFIGS["mistral-7b-v0.1"].items() if k != "sliding_window"}
    assert attention(config | change).get("window_tokens") == window


def test_windows_of_qwen_begin_at_a_layer_where_they_are_used():
    config = CONFIGS["qwen2.5-7b"] | {"use_sliding_window": True, "max_window_layers": 20}
    found = from_config(config, "x")
    assert found["pattern"] == (
        {"layers": ("full",), "repeat": 20},
        {"layers": ("sliding",), "repeat": 8},
    )
    assert found["layers"]["sliding"]["attention"]["window_tokens"] == 131_072


def test_qwen_layers_that_have_no_experts_are_dense():
    config = CONFIGS["qwen3-30b-a3b"] | {"mlp_only_layers": [0], "decoder_sparse_step": 2}
    kinds = Model.model_validate(from_config(config, "x")).sequence()
    assert kinds[:4] == ("dense", "moe", "dense", "moe")


@pytest.mark.parametrize(
    ("quantization", "weights"),
    [
        ({"quant_method": "fp8"}, "fp8"),
        ({"quant_method": "fp8", "weight_block_size": [128, 128]}, "fp8-block"),
        ({"quant_method": "fbgemm_fp8"}, "fp8"),
        ({"quant_method": "mxfp4"}, "mxfp4"),
        ({"quant_method": "awq", "bits": 4}, "awq-int4"),
        ({"quant_method": "gptq", "bits": 4}, "gptq-int4"),
        ({"quant_method": "modelopt", "quant_algo": "NVFP4"}, "nvfp4"),
        ({"quant_method": "modelopt", "quant_algo": "FP8"}, "fp8"),
    ],
)
def test_the_checkpoint_tells_its_format(quantization, weights):
    found = from_config(LLAMA | {"quantization_config": quantization}, "x")
    assert found["native_weights"] == weights
    assert catalog.weight_format(weights)


@pytest.mark.parametrize(
    ("group", "weights"),
    [
        ({"type": "float", "num_bits": 8, "strategy": "channel"}, "fp8"),
        ({"type": "float", "num_bits": 8, "strategy": "block"}, "fp8-block"),
        ({"type": "float", "num_bits": 4, "group_size": 16}, "nvfp4"),
        ({"type": "int", "num_bits": 8}, "int8-w8a8"),
        ({"type": "int", "num_bits": 4, "group_size": 128}, "gptq-int4"),
        ({"type": "int", "num_bits": 4, "group_size": 32}, "int4-experts"),
    ],
)
def test_compressed_tensors_tell_the_format_of_their_first_group(group, weights):
    quantization = {
        "quant_method": "compressed-tensors",
        "config_groups": {"group_0": {"weights": group}},
    }
    found = from_config(LLAMA | {"quantization_config": quantization}, "x")
    assert found["native_weights"] == weights


@pytest.mark.parametrize(
    "quantization",
    [
        {"quant_method": "hqq"},
        {"quant_method": "awq", "bits": 3},
        {"quant_method": "compressed-tensors"},
        {
            "quant_method": "compressed-tensors",
            "config_groups": {"g": {"weights": {"num_bits": 2}}},
        },
        {"quant_method": "modelopt"},
        {},
    ],
)
def test_an_unknown_format_is_refused_with_advice(quantization):
    method = quantization.get("quant_method")
    (fault,) = faults(LLAMA | {"quantization_config": quantization})
    assert fault == (
        f"quantization_config: format not known: quant_method `{method!r}`, of which awq, "
        "compressed-tensors, fbgemm_fp8, fp8, gptq, modelopt, mxfp4 are read; remove "
        "quantization_config to describe the model in 16 bits"
    )


@pytest.mark.parametrize(
    ("dtype", "weights"), [("float16", "fp16"), ("bfloat16", "bf16"), ("float32", "bf16")]
)
def test_an_unquantized_checkpoint_has_sixteen_bits(dtype, weights):
    assert from_config(LLAMA | {"torch_dtype": dtype}, "x")["native_weights"] == weights


def test_the_inner_config_wins_and_the_outer_one_fills_in():
    config = {
        "model_type": "qwen3_5",
        "tie_word_embeddings": True,
        "quantization_config": {"quant_method": "fp8"},
        "text_config": {**CONFIGS["qwen3-8b"], "model_type": "qwen3", "tie_word_embeddings": False},
    }
    found = from_config(config, "x")
    assert (found["tied_embeddings"], found["native_weights"]) == (False, "fp8")


@pytest.mark.parametrize(
    ("sequence", "expected"),
    [
        ("a", [("a", 1)]),
        ("aaaa", [("a", 4)]),
        ("aaabbbb", [("a", 3), ("b", 4)]),
        ("aabaabaabaa", [("aab", 3), ("a", 2)]),
        ("abc", [("a", 1), ("b", 1), ("c", 1)]),
    ],
)
def test_the_order_of_layers_is_told_in_repeated_runs(sequence, expected):
    found = [("".join(run["layers"]), run["repeat"]) for run in runs(list(sequence))]
    assert found == expected


@settings(max_examples=100, deadline=None)
@given(st.lists(st.sampled_from("abc"), min_size=1, max_size=60))
def test_runs_say_the_same_order(sequence):
    assert [kind for run in runs(sequence) for kind in run["layers"] * run["repeat"]] == sequence


JUNK = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**30), 10**30),
    st.integers(0, 300),
    st.floats(),
    st.text(max_size=5),
    st.lists(st.integers(0, 5), max_size=3),
    st.dictionaries(st.text(max_size=3), st.integers(), max_size=2),
)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(sorted(CONFIGS)), st.data())
def test_a_spoilt_config_gives_a_model_or_its_faults(name, data):
    config = dict(flatten(CONFIGS[name]))
    for key in data.draw(st.sets(st.sampled_from(sorted(config)), min_size=1, max_size=3)):
        config[key] = data.draw(JUNK)
    with suppress(ConfigError):
        assert Model.model_validate(from_config(config, name)).name == name
