import pytest

from apex_opt.report.catalog import attention, count, layer_count, plain, tokens
from apex_opt.spec import catalog


@pytest.mark.parametrize(
    ("number", "text"),
    [(1.04e12, "1.04 T"), (70.55e9, "70.5 B"), (124_439_808, "124 M"), (7168, "7,168"), (0, "0")],
)
def test_parameters_are_counted_in_trillions_billions_and_millions(number, text):
    assert count(number) == text


@pytest.mark.parametrize(
    ("number", "text"),
    [(448, "448"), (8192, "8k"), (131_072, "128k"), (10_485_760, "10M"), (1500, "1.46k")],
)
def test_tokens_are_counted_in_binary_thousands(number, text):
    assert tokens(number) == text


@pytest.mark.parametrize(("number", "text"), [(3350, "3,350"), (989.4, "989.4"), (2.0, "2")])
def test_numbers_have_their_thousands_marked(number, text):
    assert plain(number) == text


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("llama-2-7b", "MHA 32"),
        ("llama-3.1-70b", "GQA 64/8"),
        ("falcon-7b", "MQA 71/1"),
        ("mistral-7b-v0.1", "GQA 32/8 w4k"),
        ("gemma-4-26b-a4b", "GQA 16/2 w1k"),
        ("qwen3.5-27b", "linear+GQA 24/4"),
        ("deepseek-v3", "MLA"),
        ("deepseek-v3.2", "MLA sparse"),
    ],
)
def test_attention_is_told_in_a_few_words(name, text):
    assert attention(catalog.model(name)) == text


def test_layers_of_an_encoder_count():
    assert layer_count(catalog.model("t5-11b")) == 48
