from apex_opt.auditing.beyond import larger, widenings
from apex_opt.auditing.dials import Options
from tests.auditing.gallery import make

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
