"""Rules between the keys of `[engine]`, told whole."""

from __future__ import annotations

import pytest

from tests.spec.texts import faults, spec

SPECULATION = "[engine.speculation]\ntokens = 3\nacceptance = 0.7\nmethod = "


@pytest.mark.parametrize(
    ("table", "said"),
    [
        (
            "[engine]\nenable_mixed_chunk = true",
            (
                "engine.enable_mixed_chunk: is a setting of SGLang; leave it out or write "
                '`name = "sglang"`'
            ),
        ),
        (
            '[engine]\nname = "trtllm"\nschedule_conservativeness = 0.5',
            (
                "engine.schedule_conservativeness: is a setting of SGLang; leave it out or write "
                '`name = "sglang"`'
            ),
        ),
        (
            "[engine]\nprefix_caching = false\nkv_offload_gib_per_device = 8",
            (
                "engine.kv_offload_gib_per_device: keeps what the prefix cache loses; write "
                "`prefix_caching = true`"
            ),
        ),
        (
            '[engine]\nversion = "0.6"\nkv_offload_gib_per_device = 8',
            (
                "engine.kv_offload_gib_per_device: keeps what the prefix cache loses; write "
                "`prefix_caching = true`"
            ),
        ),
        (
            "[engine]\nexpert_offload = 0.5",
            (
                "engine.expert_offload: needs a mixture of experts; for a dense model write "
                "`weight_offload`"
            ),
        ),
        (
            SPECULATION + '"ngram"\nmodel = "llama-3.2-1b"',
            'engine.speculation.model: cannot stand beside another method than "draft_model"',
        ),
        (
            SPECULATION + '"draft_model"',
            (
                "engine.speculation.model: missing; write the model that guesses, "
                '`model = "llama-3.2-1b"`'
            ),
        ),
        (
            SPECULATION + '"draft_model"\nmodel = "llama-3.2-1"',
            "engine.speculation.model: unknown model `llama-3.2-1`; did you mean `llama-3.2-1b`?",
        ),
    ],
)
def test_settings_that_cannot_stand_together_are_refused(table: str, said: str):
    assert faults(table) == [said]


@pytest.mark.parametrize(
    ("line", "key"),
    [
        ("chunked_prefill = true", "chunked_prefill"),
        ("prefix_caching = true", "prefix_caching"),
        ("weight_offload = 0.5", "weight_offload"),
        ('speculation = { method = "ngram", tokens = 3, acceptance = 0.7 }', "speculation"),
    ],
)
def test_an_encoder_decoder_model_takes_its_inputs_whole(line: str, key: str):
    model = '[model]\nname = "whisper-large-v3"'
    assert faults(f"[engine]\n{line}", model=model) == [
        f"engine.{key}: cannot stand beside an encoder-decoder model; leave it out"
    ]
    off = "[engine]\nchunked_prefill = false\nprefix_caching = false"
    assert spec(off, model=model).engine.chunked_prefill is False


def test_images_are_shared_out_where_there_is_an_encoder_of_images_in_vllm():
    by_data, sees = 'mm_encoder_tp_mode = "data"', '[model]\nname = "gemma-3-27b"'
    assert faults(f"[engine]\n{by_data}") == [
        (
            "engine.mm_encoder_tp_mode: needs an encoder of images, which `llama-3.1-8b` has not; "
            "leave it out"
        )
    ]
    assert faults(f'[engine]\nname = "sglang"\n{by_data}', model=sees) == [
        'engine.mm_encoder_tp_mode: is a setting of vLLM; leave it out or write `name = "vllm"`'
    ]
    assert spec(f"[engine]\n{by_data}", model=sees).engine.mm_encoder_tp_mode == "data"


def test_a_recurrent_state_is_no_cache():
    model = '[model]\nname = "qwen3-next-80b-a3b"'
    assert faults("[engine]\nprefix_caching = true", model=model) == [
        (
            "engine.prefix_caching: cannot be kept for linear attention, which has a state and no "
            "cache; leave it out"
        )
    ]


@pytest.mark.parametrize(
    "table",
    [
        '[engine]\nname = "sglang"\nenable_mixed_chunk = true\nschedule_conservativeness = 0.5',
        "[engine]\nkv_offload_gib_per_device = 8",
        "[engine]\nweight_offload = 0.5",
        SPECULATION + '"draft_model"\nmodel = "llama-3.2-1b"',
        SPECULATION + '"mtp"\ndraft_cost = 0.1',
    ],
)
def test_settings_that_go_together_are_not(table: str):
    assert spec(table).engine.cuda_graphs
