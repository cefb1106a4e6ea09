import dataclasses

import pytest

from apex_opt.cost.work import model_work
from apex_opt.sim.totals import Totals
from apex_opt.spec.parameters import parameters
from tests.shapes import shape

ZERO = Totals(*[0] * 14)


@pytest.mark.parametrize(
    ("model", "weights", "tensor", "expert"),
    [
        ("llama-3.1-70b", "bf16", 16, 1),
        ("gpt-oss-20b", "bf16", 8, 8),
        ("deepseek-v3", "fp8-block", 8, 8),
        ("qwen3-next-80b-a3b", "bf16", 4, 1),
    ],
)
def test_work_of_the_model_does_not_follow_its_split(model, weights, tensor, expert):
    one = model_work(shape(model, weights=weights))
    split = model_work(shape(model, weights=weights, tensor=tensor, expert=expert, pipeline=2))
    assert one == split


@pytest.mark.parametrize("model", ["llama-3.1-8b", "mixtral-8x7b", "gpt-oss-20b", "deepseek-v3"])
def test_a_token_costs_two_operations_for_each_active_parameter(model):
    s = shape(model)
    active = parameters(s.model).active - s.model.vocab_size * s.model.hidden_size
    work = model_work(s)
    assert work.token_flops + work.row_flops == pytest.approx(2 * active, rel=3e-3)  # but biases


def test_a_step_of_one_token_reads_its_experts_a_large_one_reads_all():
    s = shape("mixtral-8x7b")
    found, work = parameters(s.model), model_work(s)
    embedding = s.model.vocab_size * s.model.hidden_size
    alone = work.bytes(dataclasses.replace(ZERO, steps=10, decode_tokens=10)) / 10
    full = work.bytes(dataclasses.replace(ZERO, steps=10, prompt_tokens=10_000)) / 10
    assert alone == pytest.approx(2 * (found.active - embedding), rel=1e-3)
    # 1,000 tokens visit 2,000 times: 2,000 of 2,006 parts of the experts.
    assert full == pytest.approx(2 * (found.total - embedding), rel=4e-3)


def test_a_few_long_prompts_do_not_make_small_steps_read_all_experts():
    # 1 of 100 steps ends a prompt of 1,000 tokens, which visit most; all decode one sequence.
    work = model_work(shape("mixtral-8x7b"))
    alone, full = (
        work.bytes(dataclasses.replace(ZERO, steps=1, decode_tokens=n)) for n in (1, 1001)
    )
    run = dataclasses.replace(ZERO, steps=100, prompt_tokens=1000, decode_tokens=100, rows=101)
    assert work.bytes(run) == pytest.approx(99 * alone + full)


def test_a_run_without_steps_moves_nothing():
    assert model_work(shape()).bytes(ZERO) == 0.0


def test_attention_works_by_pairs_and_cached_tokens():
    # 32 layers, 32 heads of 128: 4 operations for each number of a head; 8 heads cached, 2 bytes.
    work = model_work(shape("llama-3.1-8b"))
    assert work.flops(dataclasses.replace(ZERO, pairs=3, context=4)) == 7 * 32 * 32 * 128 * 4
    assert work.context_bytes == 32 * 8 * 128 * 2 * 2
