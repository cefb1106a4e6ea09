"""What is not modelled yet is refused by name."""

from __future__ import annotations

import pytest

from apex_opt.spec import catalog, unbuilt
from apex_opt.spec.faults import render
from apex_opt.spec.loader import loads
from tests.spec.texts import spec


@pytest.mark.parametrize(
    ("table", "said"),
    [
        (
            '[search]\nexecutor = "ray"',
            'search.executor: not modelled yet; write `executor = "local"`',
        ),
    ],
)
def test_what_is_not_built_is_refused(table: str, said: str):
    assert render(unbuilt.check(spec(table)), None) == said


def test_encoder_decoder_models_are_refused():
    with_encoder = next(m for m in catalog.entries("models") if getattr(m, "encoder", None))
    asked = spec(model=f'[model]\nname = "{with_encoder.model_dump()["name"]}"')
    assert render(unbuilt.check(asked), None) == (
        "model.encoder: not modelled yet; choose a decoder-only model"
    )


def test_cross_attention_without_an_encoder_is_refused():
    inline = """
[model]
name = "odd"
hidden_size = 64
vocab_size = 100
max_context = 100
pattern = [{ layers = ["a"], repeat = 2 }]
[model.layers.a]
attention = { kind = "softmax", heads = 4, kv_heads = 4, head_dim = 16, cross = true }
ffn = { kind = "dense", width = 64 }
[[pools]]
name = "p"
device = "l4"
[workload]
rate_rps = 1.0
prompt_tokens = 10
output_tokens = 10
"""
    assert render(unbuilt.check(loads(inline)), None) == (
        "model.layers.a.attention.cross: not modelled yet; leave out `cross`"
    )


def test_a_version_that_no_loader_has_seen_is_refused():
    asked = spec()
    by_hand = asked.model_copy(
        update={"engine": asked.engine.model_copy(update={"version": "new"})}
    )
    assert render(unbuilt.check(by_hand), None) == (
        "engine.version: `new` is no version of vllm; write one like `0.19`"
    )


@pytest.mark.parametrize(
    "table",
    [
        "[engine]\nprefix_caching = true",
        '[engine]\nname = "sglang"',
        '[engine]\nname = "trtllm"',
        '[engine]\nversion = "0.6"',
        "[workload.prefix]\ngroups = 4\ntokens = 100",
        "[workload.sessions]\nturns = 3",
        '[parallelism]\nattention_data = 1\nexpert = [1, 8]\ntensor = "auto"',
        '[parallelism]\nattention_data = "auto"',
        "[parallelism]\nattention_data = [1, 8]",
        '[search]\nexecutor = "local"',
    ],
)
def test_what_is_built_is_not_refused(table: str):
    assert unbuilt.check(spec(table)) == []
