import dataclasses

import pytest

from apex_opt.cost.drafts import drafts_of
from apex_opt.plan.contexts import contexts_are_spread, copies
from apex_opt.plan.legality import why_not
from apex_opt.spec import catalog
from apex_opt.spec.speculation import Speculation
from tests.shapes import SETTINGS, shape

LATENT = {"model": "deepseek-v2-lite", "tensor": 8}


def of(engine, version, **asked):
    chosen = dataclasses.replace(SETTINGS, engine=engine, version=version)
    one = shape(settings=chosen, **asked)
    return dataclasses.replace(one, release=catalog.release(engine, version))


@pytest.mark.parametrize(
    ("engine", "version", "asked", "reason"),
    [
        ("vllm", "0.19", {**LATENT, "context": 8}, None),
        ("vllm", "0.11.0", {**LATENT, "context": 8}, None),
        ("vllm", "0.10.2", {**LATENT, "context": 8}, "vllm 0.10.2 knows no context"),
        ("sglang", "0.5", {**LATENT, "context": 4}, None),
        ("sglang", "0.5.23", {**LATENT, "context": 4}, None),
        ("sglang", "0.5.9", {**LATENT, "context": 4}, "sglang 0.5.9 knows no context"),
        (
            "tensorrt-llm",
            "1.0",
            {**LATENT, "context": 2},
            "context = 2 in tensorrt-llm is not known to the planner",
        ),
        ("vllm", "0.19", {**LATENT, "context": 3}, "tensor = 8 does not divide by context = 3"),
        ("vllm", "0.19", {**LATENT, "context": 16}, "tensor = 8 does not divide by context = 16"),
        ("vllm", "0.33", {**LATENT, "kv_cache": "fp8", "context": 2}, None),
        (
            "vllm",
            "0.19",
            {**LATENT, "kv_cache": "fp8", "context": 2},
            "vllm 0.19 spreads no fp8 cache of latent attention",
        ),
        (
            "vllm",
            "0.33",
            {"tensor": 8, "context": 2},
            "context = 2 is more than the copies of 8 key-value heads: tensor = 8 has 1 of each",
        ),
        (
            "vllm",
            "0.33",
            {"model": "qwen3-30b-a3b", "tensor": 8, "context": 4},
            "context = 4 is more than the copies of 4 key-value heads: tensor = 8 has 2 of each",
        ),
        ("vllm", "0.33", {"model": "qwen3-30b-a3b", "tensor": 8, "context": 2}, None),
        ("vllm", "0.33", {"tensor": 16, "context": 2}, None),
        (
            "sglang",
            "0.5",
            {"model": "qwen3-30b-a3b", "tensor": 8, "context": 2},
            "context = 2 in sglang needs latent attention",
        ),
        (
            "vllm",
            "0.33",
            {"model": "gpt-oss-20b", "weights": "mxfp4", "tensor": 16, "context": 2},
            "context = 2 needs layers that all keep the whole context",
        ),
        (
            "vllm",
            "0.33",
            {"model": "qwen3-next-80b-a3b", "tensor": 8, "context": 2},
            "context = 2 needs layers that all keep the whole context",
        ),
        (
            "vllm",
            "0.33",
            {"model": "deepseek-v3.2", "weights": "fp8-block", "tensor": 8, "context": 2},
            "context = 2 with sparse attention is not known to the planner",
        ),
    ],
)
def test_what_an_engine_can_spread(engine, version, asked, reason):
    assert why_not(of(engine, version, **asked)) == reason


def test_query_heads_of_a_key_value_head_are_dealt_out_evenly():
    one = of("vllm", "0.33", model="llama-3.1-8b", tensor=6, context=2)
    ((name, kind),) = one.model.layers.items()
    three = kind.attention.model_copy(update={"heads": 6, "kv_heads": 2})
    layers = {name: kind.model_copy(update={"attention": three})}
    made = dataclasses.replace(one, model=one.model.model_copy(update={"layers": layers}))
    assert list(contexts_are_spread(made)) == [
        "3 query heads a key-value head do not divide by context = 2"
    ]


def test_guesses_and_encoders_keep_their_copies():
    one = of("vllm", "0.33", **LATENT, context=2)
    guesses = drafts_of(Speculation(method="ngram", tokens=1, acceptance=0.5), one.model)
    drafting = dataclasses.replace(one, settings=dataclasses.replace(one.settings, drafts=guesses))
    assert list(contexts_are_spread(drafting)) == ["speculation and context = 2 exclude each other"]
    encoding = of("vllm", "0.33", model="whisper-large-v3", tensor=2, context=2)
    assert next(contexts_are_spread(encoding)) == "context = 2 needs a model without an encoder"


@pytest.mark.parametrize(
    ("model", "tensor", "expected"),
    [
        ("deepseek-v3", 8, 8),
        ("llama-3.1-8b", 16, 2),
        ("llama-3.1-8b", 8, 1),
        ("llama-3.1-8b", 4, 0),
        ("qwen3-next-80b-a3b", 8, 4),
    ],
)
def test_copies_of_a_head_are_those_that_the_head_with_the_fewest_has(model, tensor, expected):
    assert copies(catalog.model(model), tensor) == expected
