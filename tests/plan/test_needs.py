import pytest

from apex_opt.errors import CallError
from apex_opt.plan.needs import require_figures, require_memory
from tests.small_specs import spec

DEVICE = """
name = "p"
device = { name = "d", memory_bytes = 80_000_000_000, bandwidth_gbytes_per_s = 3000, \
peak_tflops = { bf16 = 900 }, link = { kind = "x", bandwidth_gbytes_per_s = 400, latency_us = 4 }, \
efficiency = { products = { bf16 = { compute = 0.7 } } } }
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


def test_traffic_that_takes_too_much_memory_is_refused_with_what_does_not():
    # 700 bytes of a request and 16 for each of its replicas: 716 and 16,700 of 8 GB.
    with pytest.raises(CallError) as caught:
        require_memory(100_000_000, 1)
    assert str(caught.value) == (
        "workload.requests: 100,000,000 requests with 1 replica to choose from take about "
        "72 GB of memory; ask for 11,173,184 or less"
    )
    require_memory(11_173_184, 1)
    with pytest.raises(CallError, match=r"^workload\.requests: 1,000,000 requests with 1,000 rep"):
        require_memory(1_000_000, 1000)
    require_memory(479_041, 1000)


@pytest.mark.parametrize(
    "engine", ["kv_offload_gib_per_device = 1", "weight_offload = 0.1", "version = '0.19'"]
)
def test_a_link_to_host_memory_is_asked_for_where_something_stays_there(engine):
    priced = "power_cap_w = 700\nprice_per_device_hour = 1"
    pools = DEVICE.replace("clocks_mhz = [1000]", priced)
    asked = spec(pools=pools, engine=engine)
    if "version" in engine:
        require_figures(asked)
        return
    with pytest.raises(CallError) as caught:
        require_figures(asked)
    assert str(caught.value) == (
        "pools: no link of `d` to host memory is known; "
        "write `host_link_gbytes_per_s` in an inline device of pool `p`"
    )
