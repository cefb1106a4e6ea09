import pytest

from apex_opt.auditing.beyond import beyond, larger, widenings
from apex_opt.auditing.dials import Options
from tests.auditing.gallery import HUGE, make

FASTEST = 'minimize = "latency"'
H100 = 'name = "p"\ndevice = "h100-sxm-80gb"'


def offered(code, **tables):
    return {e.key: [words for _, words in e.dial.others] for e in widenings(make(**tables), code)}


def test_larger_devices_have_no_less_of_anything_and_are_of_the_same_maker():
    pool = make(pools=H100).pools[0]
    names = [device.name for device in larger(pool)]
    assert names[0] == "h200-sxm-141gb"
    assert len(names) == 3
    for device in larger(pool):
        assert device.memory_bytes >= pool.device.memory_bytes
        assert device.bandwidth_gbytes_per_s >= pool.device.bandwidth_gbytes_per_s
        assert device.tdp_w is not None
        assert not device.name.startswith(("mi", "gaudi", "tpu"))


def test_the_largest_device_has_no_larger_one():
    assert larger(make(pools='name = "p"\ndevice = "b300-sxm"').pools[0]) == []


def test_another_device_is_offered_for_memory_and_levels_but_not_under_a_budget():
    first = "h200-sxm-141gb devices in pool p"
    assert offered("memory.weights", pools=H100)["pools.p.device"][0] == first
    assert offered("power", pools=H100) == {}
    assert offered("memory.weights", pools=H100, limits="budget_per_hour = 9") == {}


def test_another_router_is_offered_under_load_unless_it_is_chosen_already():
    limits = "budget_per_hour = 9"
    words = ['write `router = "least_outstanding"`']
    assert offered("slo.load", limits=limits) == {"routing.router": words}
    assert offered("slo.load", limits=limits, routing='router = "least_kv"') == {}


def test_what_is_offered_changes_the_spec():
    spec = make(pools=H100)
    for entry in widenings(spec, "slo.load"):
        assert isinstance(entry.dial, Options)
        changed = entry.loosened(spec)
        where = {
            "routing.router": changed.routing.router,
            "pools.p.device": changed.pools[0].device,
        }
        assert where[entry.key] == entry.dial.widest


def test_a_price_that_the_catalogue_lacks_is_asked_for_where_cost_counts():
    last = offered("memory.weights", pools=H100)["pools.p.device"][-1]
    assert last == "gb300 devices in pool p (write their price)"
    for tables in ({"pools": f"{H100}\nprice_per_device_hour = 2"}, {"objective": FASTEST}):
        last = offered("memory.weights", **{"pools": H100, **tables})["pools.p.device"][-1]
        assert last == "gb300 devices in pool p"


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ("", ["b200-sxm devices in pool p"]),
        ("power_cap_w = 120", []),  # idle it draws as much
        ("clocks_mhz = [1200]", []),  # its boost clock is not known
    ],
)
def test_no_device_is_offered_that_the_pool_of_the_spec_cannot_have(judge, more, words):
    one = make(**HUGE, pools=f"{H100}\nnodes = 1\ndevices_per_node = 1\n{more}")
    found = beyond(judge, one, "memory.weights")
    assert [move.words for repair in found for move in repair.moves] == words
