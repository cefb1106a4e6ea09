import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apex_opt.auditing.dials import FINE, Range
from apex_opt.auditing.entries import entries
from apex_opt.auditing.words import both, digits
from tests.auditing.gallery import make, pool

NUMBERS = st.floats(1e-3, 1e6)


def dial(value, end, *, whole=False):
    return Range(value, end, whole, "W", lambda spec, _: spec)


@given(value=NUMBERS, ratio=st.floats(1.1, 1000), up=st.booleans(), share=st.floats(0, 1))
def test_a_rounded_number_is_no_tighter_and_little_looser(value, ratio, up, share):
    end = value * ratio if up else value / ratio
    number = value + share * (end - value)
    near = dial(value, end).rounded(number)
    assert (near - number) * (1 if up else -1) >= -1e-9 * number
    assert abs(near - number) <= 1.1e-3 * number
    assert (near - end) * (1 if up else -1) <= 0


@given(tight=st.integers(1, 10**6), gap=st.integers(2, 10**6), up=st.booleans())
def test_between_two_whole_numbers_lies_a_whole_number_of_neither(tight, gap, up):
    loose = tight + gap
    one, other = (tight, loose) if up else (loose, tight)
    middle = dial(one, other, whole=True).between(one, other)
    assert tight < middle < loose
    assert middle == round(middle)


def test_a_range_is_closed_at_neighbours_and_at_fine_steps():
    assert dial(1, 9, whole=True).closed(3, 4)
    assert not dial(1, 9, whole=True).closed(3, 5)
    assert dial(1, 9).closed(3, 3 * (1 + FINE / 2))
    assert not dial(1, 9).closed(3, 3 * (1 + 2 * FINE))


def test_what_is_tighter_lies_on_the_side_of_the_value():
    assert dial(1, 9, whole=True).tighter(4) == 3
    assert dial(9, 1, whole=True).tighter(4) == 5
    assert dial(1, 9).tighter(4) == pytest.approx(3.96)
    assert dial(9, 1).tighter(4) == pytest.approx(4.04)


def test_numbers_are_said_with_their_unit_and_one_thing_is_singular():
    assert [dial(1, 2).say(n) for n in (5600, 12.345)] == ["5,600 W", "12.35 W"]
    nodes = Range(1, 16, True, "nodes", lambda spec, _: spec)
    assert [nodes.say(n) for n in (1, 2)] == ["1 node", "2 nodes"]


def test_digits_show_no_exponent_unless_a_number_is_next_to_nothing():
    assert [digits(x) for x in (0, 0.5, 1234567.0, 0.00001234, 1e-300)] == [
        "0",
        "0.5",
        "1,234,567",
        "0.00001234",
        "1e-300",
    ]


def test_parts_stand_in_a_row():
    assert [both(x) for x in (["a"], ["a", "b"], ["a", "b", "c"])] == ["a", "a and b", "a, b and c"]


def test_each_entry_knows_its_line_its_value_and_what_is_looser():
    spec = make(
        limits="power_w = 100\nbudget_per_hour = 0",
        slo="ttft_ms = { p50 = 10, p99 = 20 }\ntpot_ms = 5",
        quantization='weights = "bf16"',
    )
    known = {e.key: e for e in entries(spec, 61.0, unwritten=False)}
    assert {k: (e.shown, e.written) for k, e in known.items()} == {
        "slo.ttft_ms.p50": ("10 ms", True),
        "slo.ttft_ms.p99": ("20 ms", True),
        "slo.tpot_ms": ("5 ms", True),
        "slo.attainment": ("0.99", False),
        "slo.drain_s": ("61 s", False),
        "workload.rate_rps": ("4 requests/s", True),
        "pools.p.devices_per_node": ("4", True),
        "pools.p.nodes": ("1 node", True),
        "limits.power_w": ("100 W", True),
        "limits.budget_per_hour": ("0 USD/h", True),
        "quantization.weights": ("bf16", True),
        "quantization.kv_cache": ("bf16", False),
        "parallelism.max_stages": ("2 stages", True),
    }
    loose = spec
    for entry in known.values():
        loose = entry.loosened(loose)
    hour_ms = 3_600_000
    assert loose.slo.ttft_ms.limits() == {"p50": hour_ms, "p99": hour_ms}
    assert (loose.slo.tpot_ms, loose.slo.drain_s, loose.slo.attainment) == (hour_ms, 61_000, 0.01)
    assert (loose.pools[0].nodes, loose.pools[0].devices_per_node) == (16, 16)
    assert (loose.limits.power_w, loose.limits.budget_per_hour) == (16 * 2800, 16 * 8)
    assert loose.workload.rate_rps == 0.004
    assert [f.name for f in loose.quantization.weights] == ["bf16", "fp8", "awq-int4"]
    assert loose.parallelism.max_stages == 32  # layers


def test_what_the_engine_does_by_default_is_looked_at_where_asked():
    spec = make()
    usual = {e.key for e in entries(spec, 10.0, unwritten=False)}
    more = {e.key for e in entries(spec, 10.0, unwritten=True)} - usual
    assert more == {
        "engine.max_num_seqs",
        "engine.max_num_batched_tokens",
        "engine.gpu_memory_utilization",
        "parallelism.context",
    }


@pytest.mark.parametrize(
    ("workload", "key", "end"),
    [
        ('arrival = "closed"\nconcurrency = 8', "workload.concurrency", 1),
        ('arrival = "constant"\nrate_rps = 8', "workload.rate_rps", 0.008),
    ],
)
def test_demand_is_loosened_where_the_arrival_says_it(workload, key, end):
    lengths = "\nrequests = 10\nprompt_tokens = 10\noutput_tokens = 10"
    spec = make(workload=workload + lengths)
    (demand,) = [e for e in entries(spec, 10.0, unwritten=False) if e.family == "demand"]
    assert (demand.key, demand.dial.end) == (key, end)


def test_phases_are_scaled_together_as_long_as_some_requests_are_expected():
    lengths = "\nprompt_tokens = 10\noutput_tokens = 10"
    phases = "phases = [{ until_s = 10, rate_rps = 4 }, { until_s = 12, rate_rps = 80 }]"
    spec = make(workload=f'arrival = "piecewise"\n{phases}{lengths}')
    (demand,) = [e for e in entries(spec, 10.0, unwritten=False) if e.family == "demand"]
    assert (demand.key, demand.shown, demand.dial.end) == ("workload.phases", "1 x its rates", 0.1)
    changed = demand.dial.put(spec, 0.5).workload.phases
    assert [(p.until_s, p.rate_rps) for p in changed] == [(10, 2), (12, 40)]


def test_guesses_can_be_left_out():
    guesses = '[engine.speculation]\nmethod = "ngram"\ntokens = 3\nacceptance = 0.5'
    spec = make(more=guesses)
    (entry,) = [e for e in entries(spec, 1.0, unwritten=False) if e.key == "engine.speculation"]
    assert entry.shown == "ngram"
    assert entry.loosened(spec).engine.speculation is None


@pytest.mark.parametrize(
    ("parallelism", "key", "words"),
    [
        ('layer_split = "even"', "layer_split", ['"auto"', '"best"']),
        ("disaggregate = false", "disaggregate", ["true"]),
        ('disaggregate = "only"', "disaggregate", ["true"]),
        ("context = 2", "context", ['"auto"']),
    ],
)
def test_layouts_that_a_spec_narrows_may_be_widened(parallelism, key, words):
    spec = make(parallelism=parallelism)
    known = {e.key: e for e in entries(spec, 10.0, unwritten=False)}
    told = [told for _, told in known[f"parallelism.{key}"].dial.others]
    assert told == [f"write `{key} = {one}`" for one in words]


@pytest.mark.parametrize("parallelism", ["tensor = 1", "pipeline = 2\nmax_stages = 2"])
def test_stages_are_no_entry_where_the_spec_does_not_write_how_many_auto_tries(parallelism):
    keys = {e.key for e in entries(make(parallelism=parallelism), 60.0, unwritten=True)}
    assert "parallelism.max_stages" not in keys


def test_rates_of_phases_are_put_by_what_the_spec_says_however_often():
    phases = "phases = [{ until_s = 60, rate_rps = 5 }]"
    text = f'arrival = "piecewise"\n{phases}\nprompt_tokens = 100\noutput_tokens = 20'
    spec = make(workload=text)
    dial = next(e for e in entries(spec, 60.0, unwritten=False) if e.family == "demand").dial
    twice = dial.put(dial.put(spec, 0.5), 0.4)
    assert [p.rate_rps for p in twice.workload.phases] == [pytest.approx(2.0)]


def test_what_sglang_takes_of_memory_by_default_is_the_least_share_of_any_replica():
    # It keeps 512 MiB, 1.5 MiB for each of 2,048 tokens and 128 MiB for each of two devices.
    sglang = 'name = "sglang"\ncuda_graphs = false\nmax_num_batched_tokens = 2048'
    spec = make(engine=sglang, pools=pool(2, gigabytes=24))
    known = {e.key: e for e in entries(spec, 10.0, unwritten=True)}
    entry = known["engine.gpu_memory_utilization"]
    kept_bytes = (512 + 1.5 * 2048 + 128 * 2) * 2**20
    assert entry.dial.value == 0.8322 == math.floor(1e4 * (1 - kept_bytes / 24e9)) / 1e4
    assert not entry.written


def test_a_number_that_is_sought_next_to_none_is_found_in_the_end():
    share, tight, steps = dial(0.5, 0.0), 0.5, 0
    while not share.closed(tight, 0.0):
        tight, steps = share.between(tight, 0.0), steps + 1
    assert steps < 40
