import dataclasses

import numpy as np
import pytest

from apex_opt.cost.attention import context_rates, decode_cost, history_rate
from apex_opt.cost.collectives import collective
from apex_opt.cost.context import exchange, gather_cost, merge_cost
from apex_opt.cost.kernel_error import ALONE, kernel_error
from apex_opt.cost.operators import layer
from apex_opt.cost.rates import Rates
from apex_opt.cost.reference import Step, stage_times
from apex_opt.cost.steps import step_table
from tests.shapes import SETTINGS, shape

LATENT = {"model": "deepseek-v3", "device": "h200-sxm-141gb", "weights": "fp8-block", "tensor": 8}
SHARED = {"model": "qwen3-235b-a22b", "device": "h200-sxm-141gb", "tensor": 8}
SGLANG = dataclasses.replace(SETTINGS, engine="sglang", version="0.5")
EAGER = dataclasses.replace(SETTINGS, graph_tokens=0, max_num_seqs=64, max_num_batched_tokens=512)
SEQUENCES = np.array([0.0, 1.0, 64.0])


def attention(s):
    return layer(s.model.layers[s.model.sequence()[-1]], s).attention


def group(s, operation, size):
    return collective(s, operation, s.context, size)


def test_vllm_gathers_queries_and_sums_and_reduces_outputs_of_latent_attention():
    # 16 heads a device: absorbed queries of 512 + 64 numbers, outputs of 512, sums of 32 bits.
    s = shape(**LATENT, context=4)
    expected = (
        group(s, "all_gather", SEQUENCES * 4 * 16 * 576 * 2)
        + group(s, "all_gather", SEQUENCES * 4 * 4 * 16 * 4)
        + group(s, "reduce_scatter", SEQUENCES * 4 * 16 * 512 * 2)
    )
    assert exchange(s, attention(s), SEQUENCES).tolist() == pytest.approx(expected.tolist())
    assert expected[0] == 0 < expected[1] < expected[2]


def test_vllm_gathers_queries_and_sums_and_reduces_outputs_of_softmax_attention():
    # 64 query heads of 128 over 8 devices.
    s = shape(**SHARED, context=2)
    expected = (
        group(s, "all_gather", SEQUENCES * 2 * 8 * 128 * 2)
        + group(s, "all_gather", SEQUENCES * 2 * 2 * 8 * 4)
        + group(s, "reduce_scatter", SEQUENCES * 2 * 8 * 128 * 2)
    )
    assert exchange(s, attention(s), SEQUENCES).tolist() == pytest.approx(expected.tolist())


def test_sglang_exchanges_outputs_and_sums_at_once():
    s = shape(**LATENT, context=8, settings=SGLANG)
    expected = group(s, "all_gather", SEQUENCES * 8 * 16 * 576 * 2) + group(
        s, "all_to_all", SEQUENCES * 8 * 16 * (512 * 2 + 4)
    )
    assert exchange(s, attention(s), SEQUENCES).tolist() == pytest.approx(expected.tolist())


def test_outputs_are_read_and_written_once_more_than_they_are_sent():
    s = shape(**LATENT, context=8)
    rates, a = Rates(s), attention(s)
    more = merge_cost(rates, a, SEQUENCES).seconds - exchange(s, a, SEQUENCES)
    rate = 4800e9 * s.pool.device.efficiency.elementwise_memory
    assert more.tolist() == pytest.approx((SEQUENCES * 2 * 8 * 16 * 512 * 2 / rate).tolist())


@pytest.mark.parametrize("asked", [LATENT, SHARED])
def test_copies_cost_nothing_to_merge_or_gather(asked):
    s = shape(**asked)
    rates, a = Rates(s), attention(s)
    assert not merge_cost(rates, a, SEQUENCES).seconds.any()
    assert not exchange(s, a, SEQUENCES).any()
    assert not gather_cost(rates, a).seconds.any()


@pytest.mark.parametrize(("asked", "context"), [(LATENT, 4), (SHARED, 2)])
def test_a_device_reads_and_holds_its_share_of_a_token(asked, context):
    whole, part = attention(shape(**asked)), attention(shape(**asked, context=context))
    assert part.kv_bytes == whole.kv_bytes / context
    assert (part.pair_flops, part.decode_flops) == (whole.pair_flops, whole.decode_flops)


def test_reading_is_as_much_faster_until_its_operations_take_as_long():
    reads = [
        context_rates(Rates(s), attention(s)).context.seconds[0]
        for s in (shape(**LATENT, context=c) for c in (1, 2, 8))
    ]
    assert reads[1] == pytest.approx(reads[0] / 2, rel=0.01)
    assert reads[0] / 8 < reads[2] < reads[0] / 4  # 128 heads on 1/8 of the tokens


def test_a_chunk_of_a_prompt_gathers_the_latent_vectors_before_it():
    copied, spread = shape(**LATENT), shape(**LATENT, context=8)
    found = history_rate(Rates(spread), attention(spread)).seconds[0]
    alone = history_rate(Rates(copied), attention(copied)).seconds[0]
    sent = 7 / 8 * 576 * 2 / 450e9  # a ring of NVLink, one way
    assert found > alone + sent
    softmax = shape(**SHARED, context=2)
    assert gather_cost(Rates(softmax), attention(softmax)).seconds[0] == 0


def test_latent_attention_merges_decoding_sequences_softmax_every_token_of_a_step():
    latent, softmax = (
        [step_table(shape(**asked, settings=EAGER, context=c)) for c in (1, 2)]
        for asked in (LATENT, SHARED)
    )
    assert (latent[0].decode_ns == latent[1].decode_ns).all()
    assert (latent[0].rows_ns[:, 1:] < latent[1].rows_ns[:, 1:]).all()
    assert (softmax[0].decode_ns[:, 1:] < softmax[1].decode_ns[:, 1:]).all()
    assert (softmax[0].mixed_ns[:, 1:] < softmax[1].mixed_ns[:, 1:]).all()
    # The time of decode attention to caches as they are at `NOMINAL_CONTEXT` is less.
    assert (softmax[0].rows_ns[:, 1:] > softmax[1].rows_ns[:, 1:]).all()


@pytest.mark.parametrize("asked", [LATENT, SHARED])
@pytest.mark.parametrize("step", [Step(64, 2000), Step(256)])
def test_the_reference_step_is_that_of_the_table(asked, step):
    s = shape(**asked, settings=EAGER, context=2)
    table, times = step_table(s), stage_times(s, step)
    layers = sum(n * times.layers[name] for name, n in s.stage_counts()[0].items())
    rows = step.tokens if step.context else 1
    ns = (
        table.rows_ns[0, rows]
        + (table.decode_ns if step.context else table.mixed_ns)[0, step.tokens]
    )
    fs = step.tokens * step.context * table.context_fs[0]
    fs += 0 if step.context else step.tokens * (step.tokens + 1) // 2 * table.pair_fs[0]
    eager = 0 if not step.context else 3e-6 * sum(s.stage_counts()[0].values())
    found = times.first + times.last + layers + eager
    if not step.context:
        found += sum(
            n * float(decode_of_prompt(s, name)) for name, n in s.stage_counts()[0].items()
        )
    assert ns * 1e-9 + fs * 1e-15 == pytest.approx(found, rel=1e-3)


def decode_of_prompt(s, name):
    """What a sampled row of a prompt costs as if it had decoded, seconds."""
    a, one = layer(s.model.layers[name], s).attention, np.ones(1)
    merged = merge_cost(Rates(s), a, one).seconds[0] if a.kind == "latent" else 0.0
    return decode_cost(Rates(s), a, one).seconds[0] + merged


def test_the_error_of_a_step_counts_what_is_exchanged():
    few, many = (shape(**LATENT, context=c) for c in (1, 8))
    decoding = dataclasses.replace(ALONE, rows=64, decode_tokens=64)
    assert kernel_error(many, decoding) != kernel_error(few, decoding)
