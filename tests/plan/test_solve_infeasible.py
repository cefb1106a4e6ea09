import pytest

from apex_opt.errors import InfeasibleError, UndecidedError
from apex_opt.plan.solve import solve
from tests.small_specs import TABLES, spec


def test_no_replica_that_fits_is_proved_infeasible_with_reasons():
    with pytest.raises(InfeasibleError) as caught:
        solve(spec(model='name = "llama-3.1-405b"'))
    first, reason = str(caught.value).splitlines()
    assert first == "no replica of the model can be started:"
    assert reason.startswith("  TP4 PP1 bf16: weights of 202.9 GB leave ")
    assert reason.endswith(" GB too little on a device of 85.5 GB (and 6 alike)")


def test_a_level_that_a_lone_request_misses_is_proved_infeasible():
    with pytest.raises(InfeasibleError) as caught:
        solve(spec(slo="ttft_ms = { p99 = 1 }"))
    assert str(caught.value) == (
        "no plan meets the spec, even with every request alone on idle devices: ttft_ms p99"
    )


def test_too_much_traffic_is_proved_infeasible_without_a_simulation():
    with pytest.raises(InfeasibleError) as caught:
        solve(
            spec(
                workload=(
                    'arrival = "poisson"\nrate_rps = 5000.0\nrequests = 300000\n'
                    "prompt_tokens = 5000\noutput_tokens = 60"
                )
            )
        )
    assert str(caught.value) == (
        "no plan meets the spec: no fleet within the limits carries this traffic at all"
    )


def test_a_level_that_no_plan_meets_lists_the_nearest_tries():
    with pytest.raises(InfeasibleError) as caught:
        solve(spec(slo="tpot_ms = { p99 = 3.5 }", parallelism="tensor = 4\npipeline = 1"))
    lines = str(caught.value).splitlines()
    assert lines[0] == "no plan meets the spec: all 1 that the bounds allow were simulated"
    assert lines[1].startswith("  1 x h100 TP4 bf16: TPOT p99 ")


def test_peak_power_is_held_against_its_limit():
    free = solve(spec()).plans[0]
    limit = free.prediction.power_peak_w * 0.98
    with pytest.raises(InfeasibleError) as caught:
        solve(
            spec(
                parallelism=f"tensor = {free.deployments[0].replica.tensor}\npipeline = 1",
                limits=f"power_w = {limit:.0f}\nreplicas = 1",
            )
        )
    assert "peak power" in str(caught.value)


def test_peak_power_of_a_pool_is_held_against_its_own_limit():
    pools = TABLES["pools"].replace("devices_per_node = 4", "devices_per_node = 1")
    limit = round(solve(spec(pools=pools)).plans[0].prediction.power_peak_w * 0.98)
    pools += f"\npower_w = {limit}"
    with pytest.raises(InfeasibleError) as caught:
        solve(spec(pools=pools))
    first, second = str(caught.value).splitlines()
    assert first == "no plan meets the spec: all 1 that the bounds allow were simulated"
    assert second.startswith("  1 x h100 TP1 bf16: peak power of pool h100 ")
    assert second.endswith(f" W > {limit} W")


def test_without_time_neither_plan_nor_proof_is_claimed():
    with pytest.raises(UndecidedError) as caught:
        solve(spec(search="time_limit_s = 1e-9"))
    assert str(caught.value).splitlines()[0].startswith("no plan was found in 1e-09 s")


def test_levels_are_blamed_only_where_they_bar_every_replica():
    # One device alone is too slow for the level, four carry too little: the traffic is to blame.
    with pytest.raises(InfeasibleError) as caught:
        solve(
            spec(
                workload=(
                    'arrival = "poisson"\nrate_rps = 5000.0\nrequests = 200000\n'
                    "prompt_tokens = 5000\noutput_tokens = 2"
                ),
                slo="ttft_ms = { p99 = 200 }",
            )
        )
    assert str(caught.value) == (
        "no plan meets the spec: no fleet within the limits carries this traffic at all"
    )


@pytest.mark.parametrize(
    ("parallelism", "reason"),
    [
        ("expert = 3", "expert = 3 is neither 1 nor tensor = 4"),
        ("attention_data = 2", "attention_data = 2 needs a mixture of experts to share"),
        ("pipeline = 8", "32 devices a replica are more than the 4 of pool `h100`"),
    ],
)
def test_degrees_that_the_spec_names_are_refused_with_a_reason(parallelism, reason):
    with pytest.raises(InfeasibleError) as caught:
        solve(spec(parallelism=parallelism))
    lines = str(caught.value).splitlines()
    assert lines[0] == "no replica of the model can be started:"
    assert any(line.startswith(f"  {reason}") for line in lines[1:])
