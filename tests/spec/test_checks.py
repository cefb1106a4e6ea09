"""Rules between keys: one inside, one on the edge, one past it."""

from __future__ import annotations

import math
from statistics import NormalDist

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apex_opt.spec import checks
from apex_opt.spec.checks_workload import LARGEST_TAIL
from tests.spec.texts import TABLES, faults, spec


def workload(*lines: str) -> str:
    """Return a workload table of these lines."""
    return "\n".join(["[workload]", *lines])


def prompts(table: str) -> str:
    """Return a workload whose prompt lengths are drawn from `table`."""
    return TABLES["workload"].replace("512", f"{{ {table} }}")


HIGH = "workload.prompt_tokens.high"
LENGTHS = ("prompt_tokens = 512", "output_tokens = 128")


@pytest.mark.parametrize(
    "table",
    [
        workload("rate_rps = 8", *LENGTHS),
        workload('arrival = "constant"', "rate_rps = 8", *LENGTHS),
        workload('arrival = "gamma"', "rate_rps = 8", "burstiness = 0.5", *LENGTHS),
        workload('arrival = "closed"', "concurrency = 64", *LENGTHS),
        workload('arrival = "trace"', 'file = "a.csv"', 'format = "azure"', "time_scale = 0.5"),
    ],
)
def test_each_arrival_takes_what_it_reads(table: str):
    assert spec(workload=table).workload.arrival in table + '"poisson"'


@pytest.mark.parametrize("arrival", ["constant", "poisson", "gamma"])
def test_an_open_loop_needs_a_rate(arrival: str):
    why = f'missing; `arrival = "{arrival}"` needs it: write for example `rate_rps = 8.0`'
    assert faults(workload=workload(f'arrival = "{arrival}"', *LENGTHS)) == [
        f"workload.rate_rps: {why}"
    ]


def test_a_key_that_the_arrival_does_not_read_is_refused():
    table = workload("rate_rps = 8", "concurrency = 4", "burstiness = 2", *LENGTHS)
    why = 'means nothing with `arrival = "poisson"`; `arrival` must be'
    assert faults(workload=table) == [
        f'workload.concurrency: {why} "closed"',
        f'workload.burstiness: {why} "gamma"',
    ]


def test_a_default_that_is_written_out_is_no_fault():
    table = workload("rate_rps = 8", "burstiness = 1.0", "time_scale = 1", *LENGTHS)
    assert spec(workload=table) == spec()


@pytest.mark.parametrize("bounds", ["low = 5, high = 6", "low = 5, high = 5"])
def test_uniform_bounds_may_meet(bounds: str):
    assert spec(workload=prompts(f'distribution = "uniform", {bounds}'))


def test_uniform_bounds_may_not_cross():
    table = prompts('distribution = "uniform", low = 5, high = 4')
    assert faults(workload=table) == [f"{HIGH}: must be 5 or more, `low`, got 4"]


@pytest.mark.parametrize("p99", [101, 400, 1496])
def test_a_lognormal_with_a_tail_within_reach_is_taken(p99: int):
    assert spec(workload=prompts(f'distribution = "lognormal", mean = 100, p99 = {p99}'))


@pytest.mark.parametrize("p99", [99, 100, 1497.3])
def test_a_lognormal_with_a_tail_out_of_reach_is_refused(p99: float):
    table = prompts(f'distribution = "lognormal", mean = 100, p99 = {p99}')
    why = f"must be above 100, `mean`, and at most 14.97 times `mean`, got {p99:,}"
    assert faults(workload=table) == [f"workload.prompt_tokens.p99: {why}"]


@settings(max_examples=200, deadline=None)
@given(st.floats(0.001, 10))
def test_no_lognormal_has_a_longer_tail_than_the_largest(sigma: float):
    p99_over_mean = math.exp(NormalDist().inv_cdf(0.99) * sigma - sigma**2 / 2)
    assert p99_over_mean <= LARGEST_TAIL * (1 + 1e-12)


def test_the_longest_draw_is_above_the_mean():
    assert spec(workload=prompts('distribution = "lognormal", mean = 9, p99 = 12, maximum = 10'))
    table = prompts('distribution = "lognormal", mean = 9, p99 = 12, maximum = 9')
    assert faults(workload=table) == [
        "workload.prompt_tokens.maximum: must be above 9, `mean`, got 9"
    ]


def test_weights_are_as_many_as_values_and_not_all_zero():
    assert spec(workload=prompts('distribution = "empirical", values = [1, 2], weights = [0, 1]'))
    table = prompts('distribution = "empirical", values = [1, 2], weights = [0]')
    assert faults(workload=table) == [
        "workload.prompt_tokens.weights: must have 2 numbers, one for each of `values`, got 1",
        "workload.prompt_tokens.weights: must not all be 0",
    ]


def test_pool_names_differ():
    other = TABLES["pools"].replace('"a"', '"b"')
    assert len(spec(other).pools) == 2
    assert faults(TABLES["pools"]) == [
        'pools[1].name: is the same as pools[0].name, the string "a"'
    ]


def test_a_pool_has_a_million_devices_at_most():
    nodes = TABLES["pools"] + "\ndevices_per_node = 1000\nnodes = {}"
    assert spec(pools=nodes.format(1000)).pools[0].devices == 1_000_000
    assert faults(pools=nodes.format(1001)) == [
        "pools[0].nodes: must be 1,000 or less, a million devices, got 1,001"
    ]


def test_clocks_reach_up_to_boost():
    boost = spec().pools[0].device.clock_mhz
    assert boost is not None
    assert spec(pools=TABLES["pools"] + f"\nclocks_mhz = {boost}")
    low = "must be 18.3 or more, a hundredth of the boost clock of `h100-sxm-80gb`, got 18"
    assert faults(pools=TABLES["pools"] + "\nclocks_mhz = 18") == [f"pools[0].clocks_mhz[0]: {low}"]
    why = f"must be {boost:,.0f} or less, the boost clock of `h100-sxm-80gb`"
    assert faults(pools=TABLES["pools"] + f"\nclocks_mhz = {boost + 1}") == [
        f"pools[0].clocks_mhz[0]: {why}, got {boost + 1:,.0f}"
    ]


@pytest.mark.parametrize(
    ("table", "why"),
    [
        ('minimize = "cost"', None),
        ('maximize = "goodput"', None),
        (
            'minimize = "cost"\nmaximize = "goodput"',
            "objective.maximize: cannot stand beside `minimize`; keep one of the two",
        ),
        ("", 'objective: names no goal; write `minimize = "cost"` or `maximize = "goodput"`'),
    ],
)
def test_there_is_one_objective(table: str, why: str | None):
    if why is None:
        assert spec(f"[objective]\n{table}")
    else:
        assert faults(f"[objective]\n{table}") == [why]


def test_without_an_objective_cost_is_minimized():
    assert spec().objective.minimize == "cost"


def test_a_table_of_limits_has_one():
    assert faults("[slo]\nttft_ms = {}") == [
        "slo.ttft_ms: limits nothing; write for example { p99 = 1000.0 }"
    ]


@pytest.mark.parametrize(
    ("table", "repeated"),
    [
        ("[engine]\nmax_num_seqs = [64, 64]", "engine.max_num_seqs[1]: 64"),
        (
            "[engine]\nmax_num_batched_tokens = [4096, 4096]",
            "engine.max_num_batched_tokens[1]: 4096",
        ),
        ("[parallelism]\ntensor = [1, 2, 1]", "parallelism.tensor[2]: 1"),
        ("[parallelism]\npipeline = [2, 2]", "parallelism.pipeline[1]: 2"),
        (
            "[quantization]\nweights = ['fp8', 'fp8-e4m3']",
            'quantization.weights[1]: the string "fp8"',
        ),
        (
            "[quantization]\nkv_cache = ['bf16', 'bf16']",
            'quantization.kv_cache[1]: the string "bf16"',
        ),
    ],
)
def test_choices_differ(table: str, repeated: str):
    assert faults(table) == [f"{repeated} is already in the list"]


def test_quality_is_priced_of_formats_that_the_spec_lists():
    table = "[quantization]\nweights = ['bf16', 'fp8']\nusd_per_million_tokens = {{ {} = 0.1 }}"
    assert spec(table.format("fp8"))
    assert faults(table.format("int4")) == [
        "quantization.usd_per_million_tokens.int4: is no format of this spec; those are bf16, fp8"
    ]
    assert faults("[quantization]\nusd_per_million_tokens = { fp8 = 0.1 }") == [
        "quantization.usd_per_million_tokens.fp8: is no format of this spec; those are not listed"
    ]


def test_a_limit_on_spot_devices_needs_a_spot_pool():
    assert spec("[limits]\nspot_fraction = 0.5", pools=TABLES["pools"] + "\nspot = true")
    why = "limits nothing; write `spot = true` under the pools that may be taken away"
    assert faults("[limits]\nspot_fraction = 0.5") == [f"limits.spot_fraction: {why}"]


def test_a_limit_on_devices_of_a_role_needs_roles():
    limits = "[limits]\nprefill_devices = 2\ndecode_devices = 4\n[parallelism]\ndisaggregate = "
    assert spec(limits + "true")
    why = "limits nothing; write `disaggregate = true` under `[parallelism]`"
    assert faults(limits + "false") == [
        f"limits.prefill_devices: {why}",
        f"limits.decode_devices: {why}",
    ]


def test_a_pipeline_is_no_deeper_than_the_model():
    assert spec("[parallelism]\npipeline = [1, 32]")
    assert faults("[parallelism]\npipeline = [1, 33]") == [
        "parallelism.pipeline[1]: must be 32 or less, the layers of the model, got 33"
    ]


def test_a_context_is_no_longer_than_the_models():
    short = TABLES["model"] + "\nmax_context = 4096"
    assert spec("[engine]\nmax_model_len = 4096", model=short)
    assert faults("[engine]\nmax_model_len = 4097", model=short) == [
        "engine.max_model_len: must be 4,096 or less, `model.max_context`, got 4,097"
    ]


def test_a_step_has_a_token_for_every_sequence_in_some_choice():
    assert spec("[engine]\nmax_num_seqs = [64, 512]\nmax_num_batched_tokens = [32, 64]")
    assert faults("[engine]\nmax_num_seqs = [64, 512]\nmax_num_batched_tokens = [32, 63]") == [
        "engine.max_num_batched_tokens: must be 64 or more, `engine.max_num_seqs`, got 63"
    ]


def test_whole_prompts_fit_a_step_unless_they_are_chunked():
    engine = "[engine]\nmax_model_len = 4096\nmax_num_batched_tokens = {}\nchunked_prefill = {}"
    assert spec(engine.format(4096, "false"))
    assert spec(engine.format(2048, "true"))
    why = "must be 4,096 or more, `engine.max_model_len`, without `chunked_prefill`, got 4,095"
    assert faults(engine.format(4095, "false")) == [f"engine.max_num_batched_tokens: {why}"]


def test_a_rule_is_judged_where_another_key_of_its_table_is_faulty():
    table = prompts('distribution = "uniform", low = 5, high = 4') + '\nrate = 3\nseed = "x"'
    assert faults(workload=table) == [
        f"{HIGH}: must be 5 or more, `low`, got 4",
        "workload.rate: unknown key; did you mean `rate_rps`?",
        'workload.seed: must be a whole number of 0 or more, got the string "x"',
    ]


def test_a_rule_is_left_out_where_a_key_that_it_reads_is_faulty():
    table = workload('arrival = "open"', "concurrency = 4")
    arrivals = '"constant", "poisson", "gamma", "piecewise", "closed" or "trace"'
    assert faults(workload=table) == [
        f'workload.arrival: must be one of {arrivals}, got the string "open"'
    ]


def test_a_fault_that_only_follows_from_another_is_not_told():
    assert faults(workload=workload("rate_rps = 0", *LENGTHS)) == [
        "workload.rate_rps: must be above 0, got 0"
    ]


def test_a_sound_spec_has_no_faults():
    assert checks.check(spec()) == []


def test_a_window_of_power_is_that_of_a_limit_on_what_is_drawn():
    assert spec("[limits]\npower_w = 900\npower_window_s = 10")
    assert spec("[limits]\npower_window_s = 10", pools=TABLES["pools"] + "\npower_w = 900")
    assert faults("[limits]\npower_window_s = 10") == [
        "limits.power_window_s: limits nothing; write `power_w`, here or under a pool"
    ]
    why = 'says nothing where `power_by = "rated"`, which no time changes; leave one out'
    assert faults('[limits]\npower_w = 900\npower_by = "rated"\npower_window_s = 10') == [
        f"limits.power_window_s: {why}"
    ]
