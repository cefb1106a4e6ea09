import pytest

import apex_opt
from apex_opt.errors import CallError
from tests.small_specs import TABLES, spec

SEEDED = (
    'arrival = "poisson"\nrate_rps = 20.0\nrequests = 50\nseed = 1\n'
    "prompt_tokens = 500\noutput_tokens = 60"
)


def test_a_seed_that_is_passed_is_that_of_the_traffic_whatever_the_spec_says():
    result = apex_opt.solve(spec(workload=SEEDED), seed=7, top_k=1)
    assert result.seed == 7
    own = apex_opt.solve(spec(workload=SEEDED), top_k=1)
    assert own.seed == 1
    assert own.plans[0].prediction.ttft_ms != result.plans[0].prediction.ttft_ms


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"top_k": 0}, "top_k: Input should be greater than or equal to 1, got 0"),
        ({"seed": -1}, "seed: Input should be greater than or equal to 0, got -1"),
        ({"time_limit_s": -5.0}, "time_limit_s: Input should be greater than 0, got -5.0"),
    ],
)
def test_an_impossible_argument_is_a_wrong_call(arguments, message):
    with pytest.raises(CallError) as caught:
        apex_opt.solve(spec(), **arguments)
    assert str(caught.value) == message


@pytest.mark.parametrize("clocks", ["", "clocks_mhz = [1234.567]"])
def test_a_plan_that_was_found_is_simulated_to_the_same_figures(clocks):
    asked = spec(workload=SEEDED, pools=TABLES["pools"] + "\n" + clocks)
    plan = apex_opt.solve(asked, top_k=1).plans[0]
    assert apex_opt.simulate(asked, plan) == plan


@pytest.mark.parametrize("degree", [0, -4, 2.5, "4"])
def test_a_wish_has_whole_numbers_from_1_on(degree):
    with pytest.raises(CallError) as caught:
        apex_opt.Wish(pipeline=degree)
    assert str(caught.value) == f"`pipeline` must be a whole number from 1 on, got {degree!r}"


@pytest.mark.parametrize("rows", [-1, 100_001])
def test_a_time_line_has_100_000_rows_at_most(rows):
    with pytest.raises(CallError) as caught:
        apex_opt.play(spec(), apex_opt.Choice(), rows=rows)
    assert str(caught.value) == f"rows: must be from 0 to 100,000, got {rows:,}"


def test_whoever_looks_around_sees_the_whole_api():
    assert dir(apex_opt) == sorted(apex_opt.__all__)
