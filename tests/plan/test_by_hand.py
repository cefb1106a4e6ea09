from apex_opt.plan.by_hand import Wish, from_wish
from tests.small_specs import spec

CLOCKED = 'name = "h100"\ndevice = "h100-sxm-80gb"\nnodes = 1\nclocks_mhz = [915, 1830]'
OLD = 'name = "old"\ndevice = "t4"\nnodes = 1'


def wished(wish, **tables):
    (part,) = from_wish(spec(**tables), wish, 560)
    return part.candidate.replica


def test_a_wish_takes_the_first_choice_of_the_spec():
    found = wished(Wish(tensor=2), pools=CLOCKED, quantization='weights = ["fp8", "bf16"]')
    assert (found.clock_mhz, found.weights, found.kv_cache) == (915, "fp8", "bf16")


def test_a_wish_for_bf16_is_served_in_fp16_where_the_device_has_no_bf16():
    found = wished(Wish(tensor=8, weights="bf16", kv_cache="bf16"), pools=OLD)
    assert (found.weights, found.kv_cache) == ("fp16", "fp16")
