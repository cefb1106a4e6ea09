import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apex_opt.cost.curves import (
    Prompts,
    Reads,
    blended,
    collective_seconds,
    decode_seconds,
    experts_seconds,
    large_read_seconds,
    power_share,
    prefill_seconds,
    product_seconds,
)
from apex_opt.spec import catalog
from apex_opt.spec.device_efficiency import (
    Decode,
    ExpertProduct,
    LatentDecode,
    PowerUse,
    Prefill,
    Product,
)
from apex_opt.spec.device_link import Collective

DEVICES = catalog.entries("devices")
SIZES = st.integers(min_value=1, max_value=20_000)
PEAK, BANDWIDTH = 1e15, 3e12


def column(*values):
    return tuple(np.array([float(value)]) for value in values)


def test_what_is_added_up_at_blend_1_is_the_greater_at_a_high_one():
    compute, memory = column(3, 4)
    assert blended(compute, memory, 1.0)[0] == pytest.approx(7)
    assert blended(compute, memory, 2.0)[0] == pytest.approx(5)
    assert blended(compute, memory, 100.0)[0] == pytest.approx(4)
    assert blended(*column(0, 0), 2.0)[0] == 0


def test_a_product_is_its_floor_its_work_and_its_depth():
    curve = Product(
        compute=0.5, memory=0.5, floor_us=2, blend=100, fill_outputs=0, depth_ns=10
    )  # 2 x 1024^3 operations at 500 TFLOP/s: 4.295 us; 8 turns of 10 ns
    size = column(1024, 1024, 1024)
    seconds = product_seconds(curve, PEAK, BANDWIDTH, size, np.array([6.0 * 1024**2]))
    assert seconds[0] == pytest.approx(2e-6 + 2 * 1024**3 / 5e14 + 80e-9, rel=1e-2)


def test_a_product_that_quantises_its_inputs_pays_for_each_number():
    size = column(100, 1000, 2000)
    none = np.array([0.0])
    seconds = [
        product_seconds(Product(input_ps=ps), PEAK, BANDWIDTH, size, none)[0] for ps in (0, 2)
    ]
    assert seconds[1] - seconds[0] == pytest.approx(100 * 2000 * 2e-12)


def test_a_product_too_small_for_the_device_takes_as_long_as_one_that_fills_it():
    curve = Product(fill_outputs=1024 * 512)
    sizes = (np.array([64.0, 256.0, 512.0, 1024.0]), np.array(1024.0), np.array(1024.0))
    seconds = product_seconds(curve, 1e12, BANDWIDTH, sizes, np.zeros(4))
    assert seconds[0] == seconds[1] == seconds[2] < seconds[3]


@settings(max_examples=60, deadline=None)
@given(device=st.sampled_from(DEVICES), m=SIZES, n=SIZES, k=SIZES)
def test_no_product_of_any_device_beats_its_roofline(device, m, n, k):
    peak, bandwidth = 1e12 * max(device.peak_tflops.values()), 1e9 * device.bandwidth_gbytes_per_s
    moved = np.array([float(m * k + k * n + m * n)])
    for curve in device.efficiency.products.values():
        seconds = product_seconds(curve, peak, bandwidth, column(m, n, k), moved)[0]
        assert seconds >= 2.0 * m * n * k / peak * (1 - 1e-12)
        assert seconds >= moved[0] / bandwidth * (1 - 1e-12)


@settings(max_examples=60, deadline=None)
@given(device=st.sampled_from(DEVICES), tokens=SIZES, heads=st.sampled_from([1, 8, 32]))
def test_no_attention_of_any_device_beats_its_roofline(device, tokens, heads):
    peak, bandwidth = 1e12 * max(device.peak_tflops.values()), 1e9 * device.bandwidth_gbytes_per_s
    flops, moved = column(tokens**2 * heads * 256.0, tokens * heads * 512.0)
    reached = device.efficiency
    kinds = (
        reached.prefill,
        reached.latent_prefill,
        reached.sparse_prefill,
        reached.window_prefill,
    )
    prompts = Prompts(flops, moved, *column(tokens, tokens**2 * heads))
    for curve in (c for curves in (*kinds, reached.linear_prefill) for c in curves.values()):
        seconds = prefill_seconds(curve, peak, bandwidth, prompts)[0]
        assert seconds >= max(flops[0] / peak, moved[0] / bandwidth) * (1 - 1e-12)
    reads = Reads(moved, *column(tokens, heads, 4 * heads), flops)
    for curves in (reached.decode, reached.window_decode, reached.linear_decode):
        for curve in curves.values():
            assert decode_seconds(curve, peak, bandwidth, reads)[0] >= moved[0] / bandwidth
    for curve in reached.latent_decode.values():
        seconds = decode_seconds(curve, peak, bandwidth, reads)[0]
        assert seconds >= max(flops[0] / peak, moved[0] / bandwidth) * (1 - 1e-12)


@settings(max_examples=60, deadline=None)
@given(device=st.sampled_from(DEVICES), visits=SIZES, hidden=st.sampled_from([1024, 7168]))
def test_no_experts_of_any_device_beat_their_roofline(device, visits, hidden):
    peak, bandwidth = 1e12 * max(device.peak_tflops.values()), 1e9 * device.bandwidth_gbytes_per_s
    flops, moved = column(visits * hidden * 1e4, hidden * 1e4)
    for curve in device.efficiency.experts.values():
        arguments = (flops, moved), np.array([float(visits)]), np.array([float(hidden)])
        seconds = experts_seconds(curve, peak, bandwidth, *arguments)[0]
        assert seconds >= max(flops[0] / peak, moved[0] / bandwidth) * (1 - 1e-12)


def test_prompts_pay_for_pairs_for_bytes_and_for_their_longest():
    curve = Prefill(compute=0.5, memory=0.5, floor_us=10, length_ns=5)
    prompts = Prompts(*column(5e9, 1.5e6, 1000, 1e7))
    seconds = prefill_seconds(curve, PEAK, BANDWIDTH, prompts)
    assert seconds[0] == pytest.approx(10e-6 + 10e-6 + 1e-6 + 5e-6)


def test_narrow_heads_take_the_time_of_their_exponentials():
    curve = Prefill(compute=0.5, memory=0.5, floor_us=0, length_ns=0, score_ps=1)
    for flops, expected in ((5e9, 10e-6), (5e12, 10e-3)):  # 1e7 scores take 10 us
        prompts = Prompts(*column(flops, 0, 1000, 1e7))
        seconds = prefill_seconds(curve, PEAK, BANDWIDTH, prompts)[0]
        assert expected <= seconds <= expected * 2 ** (1 / 6)


def test_a_long_prompt_sets_the_pace_of_a_recurrent_state_where_little_else_is_to_do():
    curve = Prefill(compute=0.5, memory=0.5, floor_us=0, length_ns=50, blend=12)
    work = (0, 1.5e9)  # 1 ms to move
    for length, expected in ((1000, 1e-3), (100_000, 5e-3)):
        seconds = prefill_seconds(curve, PEAK, BANDWIDTH, Prompts(*column(*work, length, 0)))
        assert seconds[0] == pytest.approx(expected, rel=1e-3)


def reads(moved, length=0, heads=0, query_heads=0, flops=0):
    return Reads(*column(moved, length, heads, query_heads, flops))


def test_a_small_cache_is_read_slowly_a_large_one_at_the_rate_of_large_reads():
    curve = Decode(memory=0.9, floor_us=10, ramp_us=20, ramp_mb=100)

    def taken(moved):
        return decode_seconds(curve, PEAK, BANDWIDTH, reads(moved))[0]

    assert taken(0) == pytest.approx(10e-6)
    assert taken(1e12) - 1e12 / 2.7e12 == pytest.approx(30e-6)
    assert taken(2e9) - taken(1e9) == pytest.approx(1e9 / 2.7e12, rel=1e-3)


def test_decoding_pays_for_every_head_and_no_less_than_for_one_sequence():
    curve = Decode(floor_us=9, ramp_us=0, head_ns=5, query_ns=1, token_ns=2)
    seconds = decode_seconds(curve, PEAK, BANDWIDTH, reads(0, heads=1000, query_heads=4000))
    assert seconds[0] == pytest.approx(9e-6 + 5e-6 + 4e-6)
    alone = decode_seconds(curve, PEAK, BANDWIDTH, reads(1e6, length=5000))
    assert alone[0] == pytest.approx(9e-6 + 10e-6)


def test_only_what_is_measured_again_and_again_comes_from_the_l2_cache():
    curve = Decode(memory=0.5, floor_us=0, ramp_us=0, cached_mb=40)
    for moved, share in ((1e6, 0.0), (1e9, 1.0)):
        served = decode_seconds(curve, PEAK, BANDWIDTH, reads(moved))[0]
        measured = decode_seconds(curve, PEAK, BANDWIDTH, reads(moved), repeated=True)[0]
        assert served == pytest.approx(moved / 1.5e12)
        assert measured == pytest.approx(served * share, abs=1e-9)
    assert decode_seconds(curve, PEAK, BANDWIDTH, reads(0), repeated=True)[0] == 0


def test_latent_vectors_are_read_and_scored_at_once():
    curve = LatentDecode(compute=0.5, memory=0.5, blend=1)
    # 1e12 operations at 500 TFLOP/s and 3e9 bytes at 1.5 TB/s, one after the other at blend 1.
    seconds = large_read_seconds(curve, PEAK, BANDWIDTH, reads(3e9, flops=1e12))
    assert seconds[0] == pytest.approx(2e-3 + 2e-3)


def test_experts_pay_for_every_visit():
    curve = ExpertProduct(floor_us=30, visit_ns=10)
    none = np.array([0.0])
    visits, hidden = column(1000, 8192)
    seconds = experts_seconds(curve, PEAK, BANDWIDTH, (none, none), visits, hidden)
    assert seconds[0] == pytest.approx(30e-6 + 1000 * 10e-9 * 2)


def test_a_collective_pays_for_latency_for_hops_and_for_bytes():
    curve = Collective(latency_us=5, hop_us=1, efficiency=0.5, contention=0.5, ramp_us=3)
    seconds = collective_seconds(curve, 1e11, *column(4, 4e6, 6e6))
    assert seconds[0] == pytest.approx((5 + 2 + 3 * 2) * 1e-6 + 6e6 / 0.5e11 * 2)


def test_power_follows_the_busier_part_and_only_computing_follows_the_clock():
    use = PowerUse(compute=2.0, memory=0.5, active=0.2)
    by_compute, by_memory = power_share(use, *column(0.25, 1.0, 0.5))
    assert by_compute[0] == pytest.approx(0.2 + 0.5 * 0.5)
    assert by_memory[0] == pytest.approx(0.7)
    assert max(power_share(use, *column(1.0, 0.0, 1.0)))[0] == 1.0
