import dataclasses

import pytest

from apex_opt.cost.drafts import drafts_of
from apex_opt.cost.memory import fit
from apex_opt.plan.legality import why_no_room, why_not
from apex_opt.spec import catalog
from apex_opt.spec.speculation import Speculation
from tests.shapes import SETTINGS, shape

WHOLE = dataclasses.replace(SETTINGS, chunked_prefill=False)
FEW = dataclasses.replace(SETTINGS, max_num_batched_tokens=128)


@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        (
            {"settings": WHOLE},
            (
                "max_num_batched_tokens = 2,048 takes no prompt of 8,192 tokens "
                "without chunked prefill"
            ),
        ),
        ({"settings": FEW}, "max_num_seqs = 256 is more than max_num_batched_tokens = 128"),
        ({"settings": dataclasses.replace(WHOLE, max_model_len=2048)}, None),
        (
            {"device": "a100-sxm-80gb", "kv_cache": "nvfp4"},
            "a100-sxm-80gb does not hold a KV cache in nvfp4",
        ),
        (
            {"model": "qwen3-next-80b-a3b", "tensor": 32, "nodes": 8},
            "16 key heads do not divide by tensor = 32",
        ),
        ({"model": "bamba-9b", "tensor": 8}, None),
        (
            {"model": "deepseek-v2-lite", "tensor": 16, "weights": "awq-int4"},
            "awq-int4 scales cover 128 channels, tensor = 16 leaves 684",
        ),
        (
            {"model": "qwen3-30b-a3b", "tensor": 32, "nodes": 8, "weights": "int4-experts"},
            "int4-experts scales cover 32 channels, tensor = 32 leaves 24",
        ),
        ({"model": "gpt-oss-120b", "tensor": 8, "weights": "mxfp4"}, None),
        ({"tensor": 8}, None),
        ({"tensor": 16}, None),
        (
            {"tensor": 12},
            "tensor = 12 neither fits a node of 8 nor takes whole nodes",
        ),
        (
            {"tensor": 8, "nodes": 1, "pipeline": 2},
            "16 devices a replica are more than the 8 of pool `pool`",
        ),
        ({"tensor": 3}, "32 query heads do not divide by tensor = 3"),
        (
            {"model": "falcon-7b", "tensor": 2},
            "71 query heads do not divide by tensor = 2",
        ),
        (
            {"model": "phi-4", "tensor": 8},
            "10 key-value heads and tensor = 8 do not divide",
        ),
        (
            {"model": "qwen2.5-7b", "tensor": 8},
            "28 query heads do not divide by tensor = 8",
        ),
        (
            {"tensor": 2, "expert": 2},
            "expert parallelism needs a mixture of experts",
        ),
        (
            {"model": "mixtral-8x7b", "tensor": 16, "expert": 16},
            "8 experts are fewer than expert = 16",
        ),
        ({"model": "mixtral-8x7b", "tensor": 8, "expert": 8}, None),
        (
            {"model": "qwen3-235b-a22b", "tensor": 8, "weights": "fp8-block"},
            "fp8-block scales cover 128 channels, tensor = 8 leaves 192",
        ),
        ({"model": "qwen3-235b-a22b", "tensor": 4, "weights": "fp8-block"}, None),
        ({"model": "qwen3-235b-a22b", "tensor": 8, "expert": 8, "weights": "fp8-block"}, None),
        ({"model": "qwen3-235b-a22b", "tensor": 2, "attention_data": 4, "expert": 8}, None),
        (
            {"model": "qwen3-235b-a22b", "tensor": 2, "attention_data": 4, "expert": 2},
            "expert = 2 is neither 1 nor tensor x attention_data = 8",
        ),
        (
            {"model": "qwen3-235b-a22b", "attention_data": 5},
            "width 1536 does not divide by tensor x attention_data = 5",
        ),
        (
            {"model": "qwen3-235b-a22b", "attention_data": 8, "weights": "fp8-block"},
            "fp8-block scales cover 128 channels, tensor x attention_data = 8 leaves 192",
        ),
        (
            {"tensor": 2, "attention_data": 2},
            "attention_data = 2 needs a mixture of experts to share",
        ),
        (
            {"model": "mixtral-8x7b", "attention_data": 2, "pipeline": 2},
            "attention_data = 2 and pipeline = 2 exclude each other",
        ),
        (
            {"model": "mixtral-8x7b", "tensor": 4, "attention_data": 3},
            "tensor x attention_data = 12 neither fits a node of 8 nor takes whole nodes",
        ),
        (
            {"model": "qwen3-235b-a22b", "tensor": 3, "attention_data": 8, "expert": 24},
            "ranks of tensor = 3 do not divide a node of 8",
        ),
        (
            {"model": "qwen3-235b-a22b", "tensor": 16, "attention_data": 2, "expert": 32},
            "ranks of tensor = 16 do not divide a node of 8",
        ),
        (
            {"model": "qwen3-235b-a22b", "tensor": 4, "attention_data": 4},
            "tensor x attention_data = 16 spans nodes of 8, which takes expert = 16",
        ),
        ({"model": "qwen3-235b-a22b", "tensor": 4, "attention_data": 4, "expert": 16}, None),
        (
            {"device": "mi355x", "weights": "int8-w8a8"},
            "mi355x does not compute in int8-w8a8",
        ),
        (
            {"weights": "int4-experts"},
            "int4-experts is a format of experts, the model has none",
        ),
    ],
)
def test_an_engine_starts_only_what_its_rules_allow(asked, reason):
    assert why_not(shape(**asked)) == reason


def test_weights_that_do_not_fit_are_named():
    s = shape("llama-3.1-70b")
    short = -fit(s).memory.room / 1e9
    assert short > 141.1 - 85.5
    assert why_no_room(s, fit(s)) == (
        f"TP1 PP1 bf16: weights of 141.1 GB leave {short:.1f} GB too little on a device of 85.5 GB"
    )


def test_a_cache_smaller_than_the_longest_request_is_named():
    long = dataclasses.replace(SETTINGS, max_model_len=131072)
    s = shape(device="rtx-4090", settings=long)
    blocks = fit(s).blocks
    assert why_no_room(s, fit(s)) == (
        f"TP1 PP1 bf16: the KV cache holds {blocks * 16:,} tokens, "
        "the longest request needs 131,072"
    )


def test_room_for_the_longest_request_suffices():
    s = shape()
    assert why_no_room(s, fit(s)) is None


def guessed(method, release=("vllm", "0.19"), pipeline=1, **chosen):
    asked = Speculation(method=method, tokens=3, acceptance=0.5)
    drafts = drafts_of(asked, catalog.model("llama-3.1-8b"))
    wanted = dataclasses.replace(SETTINGS, version=release[1], drafts=drafts, **chosen)
    s = shape(pipeline=pipeline, settings=wanted)
    return why_not(dataclasses.replace(s, release=catalog.release(*release)))


def test_vllm_v0_knows_no_ranks():
    old = dataclasses.replace(SETTINGS, version="0.6")
    s = shape("mixtral-8x7b", attention_data=2, settings=old)
    v0 = dataclasses.replace(s, release=catalog.release("vllm", "0.6"))
    assert why_not(v0) == "vllm 0.6 knows no attention_data"


def test_room_that_ranks_lack_is_told_with_their_number():
    s = shape("mixtral-8x7b", "rtx-4090", attention_data=2)
    weights, short = fit(s).memory.weights / 1e9, -fit(s).memory.room / 1e9
    assert why_no_room(s, fit(s)) == (
        f"TP1 DP2 PP1 bf16: weights of {weights:.1f} GB leave {short:.1f} GB too little "
        "on a device of 25.8 GB"
    )


def test_guesses_stand_in_no_pipeline():
    assert guessed("ngram") is None
    assert guessed("ngram", pipeline=2) == "speculation and pipeline = 2 exclude each other"


def test_guesses_are_tokens_of_the_budget():
    assert guessed("ngram", max_num_seqs=512, max_num_batched_tokens=2048) is None
    assert guessed("ngram", max_num_seqs=513, max_num_batched_tokens=2048) == (
        "max_num_seqs = 513 with 4 tokens each is more than max_num_batched_tokens = 2,048"
    )


def test_vllm_v0_guesses_in_few_ways():
    whole = {"chunked_prefill": False, "max_num_batched_tokens": 8192}
    v0 = ("vllm", "0.6")
    assert guessed("ngram", v0, **whole) is None
    assert guessed("eagle", v0, **whole) == "vllm 0.6 knows no speculation by eagle"
    assert guessed("ngram", v0) == (
        "speculation and chunked prefill exclude each other in vllm 0.6"
    )


@pytest.mark.parametrize(
    ("engine", "reason"),
    [
        ("vllm", None),
        ("sglang", "128 experts do not divide by expert = 3 in sglang"),
        ("tensorrt-llm", "128 experts do not divide by expert = 3 in tensorrt-llm"),
    ],
)
def test_experts_are_spread_evenly_where_the_engine_wants_it(engine, reason):
    three = {"attention_data": 3, "expert": 3}
    chosen = dataclasses.replace(SETTINGS, engine=engine)
    assert why_not(shape("qwen3-30b-a3b", settings=chosen, **three)) == reason


def hearing(model="whisper-large-v3", engine="vllm", version="0.33", tensor=1, pipeline=1, **more):
    read = catalog.model(model).encoder.tokens or 512
    chosen = dataclasses.replace(
        SETTINGS, chunked_prefill=False, max_model_len=448, max_encoder_tokens=read, **more
    )
    chosen = dataclasses.replace(chosen, engine=engine, version=version)
    s = shape(model, tensor=tensor, pipeline=pipeline, settings=chosen)
    return dataclasses.replace(s, release=catalog.release(engine, version))


@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        ({}, None),
        ({"version": "0.14"}, None),
        ({"engine": "sglang", "version": "0.5"}, None),
        ({"engine": "tensorrt-llm", "version": "1.0"}, None),
        ({"model": "flan-t5-xxl", "engine": "tensorrt-llm", "version": "1.0"}, None),
        (
            {"version": "0.8"},
            "vllm 0.8 serves no model whose encoder reads a fixed input, as that of Whisper",
        ),
        (
            {"model": "flan-t5-xxl"},
            "vllm 0.33 serves no model whose encoder reads the prompt, as that of T5",
        ),
        (
            {"model": "t5-11b", "engine": "sglang", "version": "0.5"},
            "sglang 0.5 serves no model whose encoder reads the prompt, as that of T5",
        ),
        ({"pipeline": 2}, "an encoder-decoder model stands on one stage, not pipeline = 2"),
        ({"tensor": 8}, "20 query heads do not divide by tensor = 8"),
        (
            {"engine": "tensorrt-llm", "version": "1.0", "max_num_batched_tokens": 1024},
            "max_num_batched_tokens = 1,024 takes no encoder input of 1,500 tokens",
        ),
        ({"max_num_batched_tokens": 1024}, None),
    ],
)
def test_encoder_decoder_models_stand_on_engines_that_serve_them(asked, reason):
    assert why_not(hearing(**asked)) == reason


@pytest.mark.parametrize(
    ("by_data", "reason"),
    [(False, "16 heads of the encoder do not divide by tensor = 32"), (True, None)],
)
def test_an_encoder_of_images_is_split_by_its_heads_unless_it_is_copied(by_data, reason):
    chosen = dataclasses.replace(SETTINGS, encoder_by_data=by_data)
    assert why_not(shape("gemma-3-27b", tensor=32, settings=chosen)) == reason


def test_the_longest_request_holds_what_its_encoder_has_read():
    # 94 blocks of 1,500 frames, and 28 of the decoder's 448 tokens.
    for blocks, reason in [(122, None), (121, "the KV cache holds 1,936 tokens, ")]:
        s = hearing(num_gpu_blocks=blocks)
        told = why_no_room(s, fit(s))
        assert told == (reason and f"TP1 PP1 bf16: {reason}the longest request needs 1,948")
