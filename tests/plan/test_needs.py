import pytest

from apex_opt.errors import CallError
from apex_opt.plan.needs import require_figures
from tests.specs import spec

DEVICE = """
name = "p"
device = { name = "d", memory_bytes = 80_000_000_000, bandwidth_gbytes_per_s = 3000, \
peak_tflops = { bf16 = 900 }, link = { kind = "x", bandwidth_gbytes_per_s = 400, latency_us = 4 }, \
efficiency = { compute = { bf16 = 0.7 }, attention = 0.5, memory = 0.8, kv_memory = 0.8, \
gemm_floor_us = 4, attention_floor_us = 10 } }
clocks_mhz = [1000]
""".replace("\\\n", "")


def test_every_figure_that_is_missing_is_asked_for_at_once():
    with pytest.raises(CallError) as caught:
        require_figures(spec(pools=DEVICE))
    assert str(caught.value).splitlines() == [
        "pools: no price of `d` is known; write `price_per_device_hour` in pool `p`",
        "pools: no power limit of `d` is published; write `power_cap_w` in pool `p`",
        (
            "pools: `clocks_mhz` of pool `p` needs the boost clock of `d`; "
            "write `clock_mhz` in an inline device"
        ),
    ]


def test_a_price_is_not_asked_for_where_nothing_follows_from_it():
    pools = 'name = "p"\ndevice = "gh200-144gb"\nnodes = 1\npower_cap_w = 700'
    require_figures(spec(pools=pools, objective='minimize = "latency"'))


def test_a_spec_with_all_figures_passes():
    require_figures(spec())


def test_a_cap_that_an_idle_device_exceeds_is_refused():
    pools = 'name = "p"\ndevice = "h100-sxm-80gb"\nnodes = 1\npower_cap_w = 85'
    with pytest.raises(CallError) as caught:
        require_figures(spec(pools=pools))
    assert str(caught.value) == (
        "pools: `power_cap_w` = 85 of pool `p` leaves no power to work: "
        "an idle `h100-sxm-80gb` draws 85 W"
    )
    require_figures(spec(pools=pools.replace("85", "86")))
