from dataclasses import replace

import pytest

from apex_opt.cost.memory import fit
from apex_opt.cost.paging import Paging, keeps_tokens, windows
from apex_opt.spec import catalog
from tests.shapes import SETTINGS, shape


def served(model, engine="vllm", version="0.19", tensor=1, **chosen):
    wanted = replace(SETTINGS, engine=engine, **chosen)
    release = catalog.release(engine, version)
    return replace(shape(model, tensor=tensor), settings=wanted, release=release)


def paged(*args, **chosen):
    return fit(served(*args, **chosen)).paging


# gpt-oss-20b: 12 layers of 128 tokens and 12 of all, 8 heads of 64, keys and values, 2 bytes each.
HALF = 16 * 12 * 8 * 64 * 2 * 2


def test_windows_are_held_beside_the_layers_that_keep_all():
    assert paged("gpt-oss-20b") == Paging(HALF, 1, 9, 1_000_000)


def test_before_the_hybrid_manager_windows_are_held_whole():
    assert paged("gpt-oss-20b", version="0.8") == Paging(2 * HALF)


def test_sglang_has_a_pool_for_eight_tenths_of_the_tokens():
    assert paged("gpt-oss-20b", "sglang", "0.5").page == round(1.8 * HALF)


def test_a_window_of_the_whole_context_saves_nothing():
    assert paged("gpt-oss-20b", max_model_len=128) == Paging(2 * HALF)


@pytest.mark.parametrize(
    ("tokens", "expected"), [(1, 2), (128, 16), (144, 18), (160, 19), (1600, 109)]
)
def test_a_sequence_holds_its_tokens_and_at_most_the_blocks_of_a_window(tokens, expected):
    assert paged("gpt-oss-20b").needed(tokens, 16) == expected


# mistral-7b-v0.1: 32 layers of 4,096 tokens, 8 heads of 128.
WINDOWED = 16 * 32 * 8 * 128 * 2 * 2


def test_where_every_layer_has_a_window_nothing_else_is_held():
    found = paged("mistral-7b-v0.1")
    assert found == Paging(WINDOWED, 0, 257, 1_000_000)
    assert found.needed(8192, 16) == 257
    assert found.needed(100, 16) == 7


@pytest.mark.parametrize(("engine", "version"), [("vllm", "0.19"), ("sglang", "0.5")])
def test_where_prefixes_are_cached_such_a_model_is_held_whole(engine, version):
    assert paged("mistral-7b-v0.1", engine, version, prefix_caching=True) == Paging(WINDOWED)


def test_recurrent_layers_have_a_state_beside_the_tokens_of_the_others():
    found = paged("qwen3-next-80b-a3b", tensor=4)
    assert found.token_blocks == 1
    assert found.sequence_blocks > 0


def test_prefixes_can_be_kept_where_some_layer_keeps_all_and_none_is_recurrent():
    assert keeps_tokens(served("llama-3.1-8b"))
    assert keeps_tokens(served("gpt-oss-20b"))
    assert not keeps_tokens(served("mistral-7b-v0.1"))
    assert not keeps_tokens(served("qwen3-next-80b-a3b"))


def test_what_sparse_attention_looks_at_is_no_window():
    assert windows(served("deepseek-v3.2")) == {}


def test_tokens_are_those_of_the_longest_sequences():
    # 1,600 tokens take 100 blocks and 9 more of the window.
    assert paged("gpt-oss-20b").tokens(1090, 1600, 16) == 16_000
    assert paged("llama-3.1-8b").tokens(1090, 1600, 16) == 1090 * 16
    # 4,096 tokens and more take 257 blocks.
    assert paged("mistral-7b-v0.1").tokens(514, 8192, 16) == 2 * 8192
