"""Rules of a model's own tables: layers that fit together, stacks that attend to each other."""

from __future__ import annotations

import pytest

from tests.spec.texts import TABLES, faults, spec

LLAMA = """[model]
name = "mine"
hidden_size = 64
vocab_size = 100
max_context = 4096
"""


def model(layers: str = "", pattern: str = '[{ layers = ["dense"], repeat = 4 }]') -> str:
    """Return an inline model with a dense layer and others."""
    dense = 'dense.attention = { kind = "softmax", heads = 32, kv_heads = 8, head_dim = 4 }'
    ffn = 'dense.ffn = { kind = "dense", width = 128 }'
    return f"{LLAMA}pattern = {pattern}\n\n[model.layers]\n{dense}\n{ffn}\n{layers}"


def test_a_pattern_names_kinds_of_layer():
    assert spec(model=model()).model.counts() == {"dense": 4}
    assert faults(model=model(pattern='[{ layers = ["dense", "moe"] }]')) == [
        'model.pattern[0].layers[1]: must be a kind of `layers`, "dense", got the string "moe"'
    ]


def test_a_model_has_ten_thousand_layers_at_most():
    half = '{ layers = ["dense"], repeat = 5000 }'
    assert spec(model=model(pattern=f"[{half}, {half}]"))
    assert faults(model=model(pattern=f'[{half}, {half}, {{ layers = ["dense"] }}]')) == [
        "model.pattern: must be 10,000 layers or fewer, is 10,001"
    ]


SOFTMAX = 'attention = { kind = "softmax", heads = 32, kv_heads = 8, head_dim = 4 }'
LINEAR = 'attention.kind = "linear"\nattention.key_dim = 4\nattention.value_dim = 4'
LATENT = """attention.kind = "latent"
attention.heads = 8
attention.kv_lora_rank = 8
attention.qk_nope_dim = 8
attention.qk_rope_dim = 8
attention.value_dim = 8"""
FFN = 'ffn = { kind = "dense", width = 128 }'
MOE = 'ffn = { kind = "moe", experts = 8, top_k = 8, width = 128 }'
INDEXER = "an indexer has `index_heads`, `index_dim` and `index_topk`"


@pytest.mark.parametrize(
    ("layer", "why"),
    [
        ([SOFTMAX, MOE], None),
        (
            [SOFTMAX.replace("kv_heads = 8", "kv_heads = 5"), FFN],
            "model.layers.x.attention.kv_heads: must divide `heads`, 32, got 5",
        ),
        ([LINEAR, "attention.key_heads = 16\nattention.value_heads = 32", FFN], None),
        (
            [LINEAR, "attention.key_heads = 5\nattention.value_heads = 32", FFN],
            "model.layers.x.attention.key_heads: must divide `value_heads`, 32, got 5",
        ),
        ([LATENT, FFN], None),
        (
            [LATENT, "attention.index_dim = 8\nattention.index_heads = 8", FFN],
            f"model.layers.x.attention.index_topk: missing; {INDEXER}",
        ),
        (
            [SOFTMAX, MOE.replace("top_k = 8", "top_k = 9")],
            "model.layers.x.ffn.top_k: must be 8 or less, `experts`, got 9",
        ),
    ],
)
def test_a_layer_that_contradicts_itself_is_refused(layer: list[str], why: str | None):
    table = model("\n".join(["[model.layers.x]", *layer]))
    if why is None:
        assert "x" in spec(model=table).model.layers
    else:
        assert faults(model=table) == [why]


def test_the_format_of_the_checkpoint_is_in_the_catalogue():
    assert faults(model=TABLES["model"] + '\nnative_weights = "fp9"') == [
        "model.native_weights: unknown weight format `fp9`; did you mean `fp8` or `nvfp4`?"
    ]
    assert faults(model=TABLES["model"] + f'\nnative_weights = "{"x" * 100}"') == [
        f"model.native_weights: unknown weight format `{'x' * 59}…`"
    ]


CROSS = 'attention = { kind = "softmax", heads = 4, kv_heads = 4, head_dim = 8, cross = true }'
PLAIN = 'attention = { kind = "softmax", heads = 4, kv_heads = 4, head_dim = 8 }'


NARROW = 'ffn = { kind = "dense", width = 64 }'


def stacks(decoder: str, encoder: str | None) -> str:
    """A model of two stacks, one layer each."""
    lines = ["[model]", 'name = "odd"', "hidden_size = 32", "vocab_size = 100", "max_context = 64"]
    lines += ['pattern = [{ layers = ["x"] }]', "[model.layers.x]", decoder, NARROW]
    if encoder is not None:
        lines += ["[model.encoder]", 'pattern = [{ layers = ["y"] }]']
        lines += ["[model.encoder.layers.y]", encoder, NARROW]
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("decoder", "encoder", "said"),
    [
        (CROSS, PLAIN, []),
        (
            CROSS,
            None,
            [
                "model.layers.x.attention.cross: has nothing to attend to; write `[model.encoder]`",
            ],
        ),
        (
            PLAIN,
            PLAIN,
            [
                (
                    "model.layers.x.attention: must attend to the encoder; write "
                    '`kind = "softmax"` and `cross = true`'
                )
            ],
        ),
        (
            CROSS.replace(" }", ", window_tokens = 4 }"),
            PLAIN,
            ["model.layers.x.attention.window_tokens: cannot stand beside `cross`; leave it out"],
        ),
        (
            CROSS,
            CROSS,
            [
                (
                    "model.encoder.layers.y: must have plain softmax attention and a dense "
                    "feed-forward layer"
                )
            ],
        ),
    ],
)
def test_decoders_attend_to_encoders_that_are_there(
    decoder: str, encoder: str | None, said: list[str]
):
    model = stacks(decoder, encoder)
    assert (faults(model=model) if said else []) == said
    if not said:
        assert spec(model=model).model.reads_prompt


def test_heads_share_the_width_of_vision_and_tiles_are_parts_of_images():
    lines = ["hidden_size = 100", "layers = 2", "heads = 16", "width = 64", "tokens = 4"]
    lines += ["patches = 16", "tile_patches = 32"]
    model = "\n".join(['[model]\nname = "llama-3.1-8b"', "[model.vision]", *lines])
    assert faults(model=model) == [
        "model.vision.heads: must divide `hidden_size`, 100, got 16",
        "model.vision.tile_patches: must be 16 or less, `patches`, got 32",
    ]
