import json
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apex_opt.spec.hf_vision import FAMILIES
from apex_opt.spec.huggingface import ConfigError, from_config
from apex_opt.spec.model import Model

CONFIGS = json.loads((Path(__file__).parent / "configs.json").read_text(encoding="utf-8"))
SEEING = [name for name, config in CONFIGS.items() if "vision_config" in config]
MISTRAL = CONFIGS["mistral-small-3.1-24b"]
PIXELS = "must be a whole number from 1 to 10,000, got"


def seen(config, **vision):
    """What a config says of its encoder; `vision` changes its `vision_config`."""
    return from_config(config | {"vision_config": config["vision_config"] | vision}, "x")["vision"]


def test_every_family_is_tried_by_a_config_but_for_qwen_without_experts():
    tried = {CONFIGS[name]["model_type"] for name in SEEING}
    assert tried == set(FAMILIES) - {"qwen3_5"}
    assert FAMILIES["qwen3_5"] is FAMILIES["qwen3_5_moe"]


@pytest.mark.parametrize("vision", [None, "absent"])
def test_a_config_without_an_encoder_is_a_text_model(vision):
    config = {key: value for key, value in MISTRAL.items() if key != "vision_config"}
    config |= {"vision_config": None} if vision is None else {}
    assert "vision" not in from_config(config, "x")


def test_an_encoder_that_is_not_known_is_left_out():
    config = CONFIGS["kimi-k2.5"] | {"vision_config": {"vt_hidden_size": 1152}}
    assert "vision" not in from_config(config, "x")


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("mistral-small-3.1-24b", {"patch_size": 14}),
        ("qwen3-vl-8b", {}),
        ("qwen3.5-397b-a17b", {}),
        (
            "gemma-4-31b",
            {
                "head_dim": 72,
                "hidden_size": 1152,
                "intermediate_size": 4304,
                "num_attention_heads": 16,
                "num_hidden_layers": 27,
                "standardize": True,
            },
        ),
    ],
)
def test_what_a_config_leaves_out_is_the_default_of_its_class(name, given):
    config = CONFIGS[name]
    assert from_config(config | {"vision_config": given}, "x")["vision"] == seen(config)


def test_an_image_of_any_size_is_cut_into_whole_tokens():
    found = seen(MISTRAL, patch_size=16)
    assert (found["patches"], found["tokens"]) == (64 * 64, 32 * 33)
    found = seen(CONFIGS["qwen3-vl-8b"], spatial_merge_size=3)
    assert (found["patches"], found["tokens"]) == (66 * 66, 22 * 22)


def test_a_square_image_fills_a_square_of_gemma_4s_tokens():
    found = seen(CONFIGS["gemma-4-31b"] | {"vision_soft_tokens_per_image": 70})
    assert (found["patches"], found["tokens"]) == (630, 64)


def test_each_layer_that_is_handed_on_has_a_projector_of_its_own():
    config = CONFIGS["qwen3-vl-8b"]
    found = [
        seen(config, deepstack_visual_indexes=list(range(n)))["projector_parameters"]
        for n in range(3)
    ]
    matrices = 4608 * 4608 + 4608 + 4608 * 4096 + 4096
    assert found[0] == matrices + 2 * 1152
    assert found[2] - found[1] == found[1] - found[0] == matrices + 2 * 4608


def test_a_projector_may_have_a_bias():
    found = seen(MISTRAL | {"multimodal_projector_bias": True})
    assert found["projector_parameters"] - seen(MISTRAL)["projector_parameters"] == 2 * 5120


@pytest.mark.parametrize(
    ("name", "change", "fault"),
    [
        (
            "llama-4-scout",
            {"image_size": 13},
            "image_size: must be patch_size, 14, or more, got `13`",
        ),
        (
            "gemma-3-12b",
            {"num_attention_heads": 5},
            "num_attention_heads: must divide hidden_size, 1152, got `5`",
        ),
        (
            "gemma-4-31b",
            {"head_dim": 64},
            "head_dim: must be 72: heads that do not share the width are not known",
        ),
        (
            "gemma-4-31b",
            {"num_key_value_heads": 4},
            "num_key_value_heads: must be 16: heads that do not share the width are not known",
        ),
        (
            "llama-4-scout",
            {"pixel_shuffle_ratio": 0.25},
            "pixel_shuffle_ratio: must be 0.5: other ratios are not known",
        ),
        (
            "qwen3-vl-8b",
            {"depth": 1001},
            "depth: must be a whole number from 1 to 1,000, got `1001`",
        ),
        ("mistral-small-3.1-24b", {"patch_size": "x"}, f"patch_size: {PIXELS} `'x'`"),
    ],
)
def test_a_wrong_value_is_named_with_the_way_to_its_key(name, change, fault):
    with pytest.raises(ConfigError) as found:
        seen(CONFIGS[name], **change)
    assert found.value.faults == (f"vision_config.{fault}",)


@pytest.mark.parametrize(
    ("name", "change", "fault"),
    [
        ("qwen3-vl-8b", {"vision_config": [1]}, "vision_config: must be an object, got `[1]`"),
        (
            "gemma-3-12b",
            {"mm_tokens_per_image": 4097},
            "mm_tokens_per_image: must not exceed the patches, 4,096, got `4097`",
        ),
        (
            "mistral-small-3.1-24b",
            {"vision_feature_layer": [-1, -2]},
            "vision_feature_layer: must be -1: other layers are not known",
        ),
    ],
)
def test_a_wrong_value_beside_the_encoder_is_named_too(name, change, fault):
    with pytest.raises(ConfigError) as found:
        from_config(CONFIGS[name] | change, "x")
    assert found.value.faults == (fault,)


JUNK = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-1, 10**7),
    st.integers(0, 300),
    st.floats(),
    st.text(max_size=5),
    st.lists(st.integers(0, 5), max_size=3),
)


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(SEEING), st.data())
def test_a_spoilt_encoder_gives_a_model_or_its_faults(name, data):
    vision = dict(CONFIGS[name]["vision_config"])
    for key in data.draw(st.sets(st.sampled_from(sorted(vision)), min_size=1, max_size=3)):
        vision[key] = data.draw(JUNK)
    with suppress(ConfigError):
        table = from_config(CONFIGS[name] | {"vision_config": vision}, name)
        found = Model.model_validate(table).vision
        assert found.hidden_size % found.heads == 0
        assert (found.tile_patches or found.patches) <= found.patches
