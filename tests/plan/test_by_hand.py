import pytest

from apex_opt.errors import CallError
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


MOE = {
    "model": 'name = "mixtral-8x7b"',
    "pools": 'name = "h100"\ndevice = "h100-sxm-80gb"\nnodes = 2',
}


def test_ranks_share_a_node_and_spread_whole_experts_over_all_of_it():
    found = wished(Wish(attention_data=4), **MOE)
    assert (found.tensor, found.attention_data, found.expert, found.devices) == (2, 4, 8, 8)
    assert found.label == "h100 TP2 DP4 EP8 bf16"


def test_ranks_slice_their_experts_where_that_is_asked():
    found = wished(Wish(tensor=2, attention_data=2, expert=1), **MOE)
    assert (found.expert, found.devices) == (1, 4)


def test_ranks_are_those_of_the_spec_unless_wished_otherwise():
    tables = {**MOE, "parallelism": "attention_data = [4, 8]"}
    assert wished(Wish(), **tables).label == "h100 TP2 DP4 EP8 bf16"
    assert wished(Wish(attention_data=1), **tables).label == "h100 TP8 bf16"
    sliced = {**MOE, "parallelism": "attention_data = 4\nexpert = [1, 8]"}
    assert wished(Wish(), **sliced).label == "h100 TP2 DP4 bf16"


def test_a_context_is_spread_over_copies_of_heads():
    tables = {"model": 'name = "qwen3-30b-a3b"', "parallelism": 'context = "auto"\nexpert = 1'}
    pools = 'name = "h100"\ndevice = "h100-sxm-80gb"\nnodes = 1'
    assert wished(Wish(), pools=pools, **tables).label == "h100 TP8 bf16"
    one, two = (wished(Wish(context=c), pools=pools, **tables) for c in (1, 2))
    assert two.label == "h100 TP8 CP2 bf16"
    assert (two.context, two.kv_blocks) == (2, one.kv_blocks)
    assert two.kv_tokens == 2 * one.kv_tokens


def test_a_cache_of_ranks_is_that_of_all_of_them():
    (one,) = from_wish(spec(**MOE), Wish(tensor=2, attention_data=2), 560)
    assert one.replica.kv_blocks == 2 * one.candidate.rules.blocks
    assert one.replica.kv_tokens == one.replica.kv_blocks * 16


@pytest.mark.parametrize(("role", "copies"), [("mixed", 4), ("prefill", 1), ("decode", 1)])
def test_replicas_of_one_role_do_not_take_the_whole_pool(role, copies):
    (one,) = from_wish(spec(), Wish(tensor=1), 560, role)
    assert (one.count, one.role) == (copies, role)


TWO = (
    'name = "a100"\ndevice = "a100-sxm-40gb"\nnodes = 1\ndevices_per_node = 4\n'
    '[[pools]]\nname = "l4"\ndevice = "l4"\nnodes = 2\ndevices_per_node = 4'
)


def staged(*stages, **wish):
    asked = spec(model='name = "llama-2-70b"', pools=TWO)
    return from_wish(asked, Wish(stages=stages, **wish), 1000)


@pytest.mark.parametrize(
    ("limits", "copies"), [("", 4), ("devices = 3", 3), ("replicas = 2", 2), ("devices = 1", 1)]
)
def test_copies_that_are_not_named_keep_to_the_limits(limits, copies):
    (part,) = from_wish(spec(limits=limits), Wish(tensor=1), 560)
    assert part.count == copies


def test_stages_stand_where_a_wish_puts_them():
    (part,) = staged(("a100", 40), ("l4", 20), ("l4", 20), tensor=2)
    shape = part.candidate.shape
    assert (part.count, part.candidate.stages_in) == (2, {0: 1, 1: 2})
    assert part.replica.label == "a100(40)+l4(2x20) TP2 PP3 fp16"
    # The engine's defaults are those of the device with the least memory.
    assert shape.settings.max_num_batched_tokens == 2048
    (alike,) = staged(("a100", 42), ("a100", 38), tensor=2, replicas=1)
    assert alike.candidate.shape.elsewhere == ()
    assert alike.candidate.shape.stage_layers == (42, 38)


@pytest.mark.parametrize(
    ("stages", "wish", "told"),
    [
        (
            (("a100", 60), ("l4", 20)),
            {"pipeline": 2},
            "--stages says where stages stand; leave out --pool and --pipeline",
        ),
        ((("a100", 60),), {}, "--stages: 60 layers, and llama-2-70b has 80"),
        (
            (("a100", 60), ("t4", 20)),
            {},
            "pool `t4` is not in the spec; its pools: `a100`, `l4`",
        ),
        (
            (("a100", 40), ("l4", 20), ("l4", 20)),
            {"tensor": 2, "replicas": 3},
            "--replicas 3: 6 devices are more than pool `a100` has (4)",
        ),
    ],
)
def test_stages_that_cannot_be_are_refused(stages, wish, told):
    with pytest.raises(CallError) as caught:
        staged(*stages, **wish)
    assert str(caught.value) == told


def test_a_stage_with_a_layer_too_many_is_refused():
    with pytest.raises(CallError) as caught:
        staged(("a100", 18), ("a100", 18), ("a100", 18), ("a100", 13), ("l4", 13), tensor=1)
    assert str(caught.value).startswith("this plan cannot be started: TP1 PP5 ")
