import pytest

from apex_opt.cost.steps import step_table
from apex_opt.plan.enumerate import (
    attention_degrees,
    clocks,
    context_degrees,
    degrees,
    enumerate_replicas,
    expert_degrees,
    fewest_devices,
    formats,
    shapes,
    tensor_degrees,
)
from apex_opt.plan.legality import why_no_room
from apex_opt.plan.settings import batch_default, own_share, settings
from apex_opt.spec import catalog
from tests.small_specs import spec

CLOCKED = (
    'name = "h100"\ndevice = "h100-sxm-80gb"\nnodes = 1\ndevices_per_node = 4\n'
    "clocks_mhz = [915, 1830]"
)
MOE = 'name = "mixtral-8x7b"'


def pool(**tables):
    return spec(**tables).pools[0]


def test_tensor_degrees_divide_a_node_or_take_two_or_four():
    four = 'name = "p"\ndevice = "h100-sxm-80gb"\nnodes = 4\ndevices_per_node = 6'
    asked = spec(pools=four)
    assert tensor_degrees(asked, asked.pools[0]) == (1, 2, 3, 6, 12, 24)
    named = spec(parallelism="tensor = [2, 4]")
    assert tensor_degrees(named, named.pools[0]) == (2, 4)


def test_experts_are_sliced_or_spread_over_the_whole_group():
    assert expert_degrees(spec(), 4) == (1,)
    assert expert_degrees(spec(model=MOE), 4) == (1, 4)
    assert expert_degrees(spec(model=MOE), 1) == (1,)
    assert expert_degrees(spec(model=MOE, parallelism="expert = [2, 4]"), 4) == (2, 4)


def test_uneven_experts_make_the_steps_of_spread_ones_longer_and_no_others():
    def step_ns(skew, expert):
        degrees = f"tensor = 4\nexpert = {expert}\npipeline = 1\nexpert_skew = {skew}"
        asked = spec(model=MOE, parallelism=degrees)
        return step_table(next(shapes(asked, asked.pools[0], 560))).mixed_ns[0, -1]

    assert step_ns(1.0, 4) > step_ns(0.0, 4)
    assert step_ns(1.0, 1) == step_ns(0.0, 1)


def ranks(**tables):
    asked = spec(**tables)
    return attention_degrees(asked, asked.pools[0])


def test_ranks_that_share_experts_are_powers_of_two_that_divide_a_node():
    six = 'name = "p"\ndevice = "h100-sxm-80gb"\nnodes = 4\ndevices_per_node = 6'
    assert ranks(model=MOE) == (1, 2, 4)
    assert ranks(model=MOE, pools=six) == (1, 2)
    assert ranks() == (1,)
    assert ranks(model=MOE, parallelism="attention_data = [1, 3]") == (1, 3)
    assert ranks(parallelism="attention_data = 2") == (2,)


def test_ranks_spread_experts_over_all_of_them_and_have_one_stage():
    asked = spec(model=MOE, parallelism="tensor = [1, 2]\nattention_data = [1, 2]\nmax_stages = 2")
    assert list(degrees(asked, asked.pools[0])) == [
        (1, 1, 1, 1, 1),
        (1, 1, 1, 2, 1),
        (2, 1, 1, 1, 1),
        (2, 1, 1, 1, 2),
        (2, 1, 1, 2, 1),
        (2, 1, 1, 2, 2),
        (1, 2, 1, 1, 1),
        (1, 2, 1, 1, 2),
        (2, 2, 1, 1, 1),
        (2, 2, 1, 1, 4),
    ]


def contexts(tensor, **tables):
    return context_degrees(spec(**tables), tensor)


def test_contexts_are_spread_where_that_is_asked_over_divisors_of_the_copies():
    auto = {"parallelism": 'context = "auto"'}
    latent, sparing = 'name = "deepseek-v3"', 'name = "qwen3-30b-a3b"'
    assert contexts(8, model=latent) == (1,)
    assert contexts(8, model=latent, **auto) == (1, 2, 4, 8)
    assert contexts(6, model=latent, **auto) == (1, 2, 3, 6)
    assert contexts(8, model=sparing, **auto) == (1, 2)
    assert contexts(2, model=sparing, **auto) == (1,)
    assert contexts(8, parallelism="context = [2, 4]") == (2, 4)


def test_replicas_with_a_spread_cache_stand_beside_those_with_copies():
    pools = 'name = "p"\ndevice = "h200-sxm-141gb"\nnodes = 1'
    asked = spec(
        model='name = "deepseek-v3"',
        pools=pools,
        parallelism='tensor = 8\nexpert = 1\ncontext = "auto"',
        quantization='weights = "fp8-block"',
    )
    found = enumerate_replicas(asked, 560)
    assert [s.context for s, _ in found.legal] == [1, 2, 4, 8]
    assert len({room.blocks for _, room in found.legal}) == 1


def test_degrees_beside_ranks_that_the_spec_names_are_refused_with_a_reason():
    asked = spec(model=MOE, parallelism="tensor = 1\nattention_data = 4\npipeline = [1, 2]")
    found = enumerate_replicas(asked, 560)
    assert [(s.attention_data, s.expert, s.pipeline) for s, _ in found.legal] == [
        (4, 1, 1),
        (4, 4, 1),
    ]
    assert found.refused == {"8 devices a replica are more than the 4 of pool `h100`": 2}


def test_clocks_are_shares_of_the_boost_clock():
    assert clocks(pool()) == (1.0,)
    assert clocks(pool(pools=CLOCKED)) == (0.5, 1.0)


def test_each_clock_makes_a_replica_of_its_own():
    asked = spec(pools=CLOCKED, parallelism="tensor = 1\npipeline = 1")
    assert [s.clock for s, _ in enumerate_replicas(asked, 560).legal] == [0.5, 1.0]


@pytest.mark.parametrize("engine", ["vllm", "sglang", "tensorrt-llm"])
def test_every_device_has_a_default_batch_in_every_release(engine):
    for release in catalog.engine(engine).releases:
        for name in catalog.names("devices"):
            device = catalog.device(name)
            found = batch_default(release, pool().model_copy(update={"device": device}))
            assert min(found) >= 1


def test_the_default_batch_follows_the_memory_of_the_device():
    release = catalog.release("vllm", "0.19")
    assert batch_default(release, pool()) == (8192, 1024)
    a100 = pool().model_copy(update={"device": catalog.device("a100-sxm-80gb")})
    assert batch_default(release, a100) == (2048, 256)


def test_formats_are_the_checkpoints_own_unless_named():
    names = [(w.name, k.name) for w, k in formats(spec(), (pool(),))]
    assert names == [("bf16", "bf16")]
    asked = spec(quantization='weights = ["bf16", "fp8"]\nkv_cache = ["fp8"]')
    assert [(w.name, k.name) for w, k in formats(asked, asked.pools)] == [
        ("bf16", "fp8"),
        ("fp8", "fp8"),
    ]


@pytest.mark.parametrize(
    ("device", "asked", "found"),
    [
        ("t4", "", ["fp16/fp16"]),
        ("t4", 'weights = ["bf16", "fp16"]\nkv_cache = "bf16"', ["fp16/fp16"]),
        ("t4", 'weights = "awq-int4"', ["awq-int4/fp16"]),
        ("t4", 'weights = "bf16"\nkv_cache = "int8"', ["fp16/int8"]),
        ("a10", 'weights = "fp16"', ["fp16/fp16"]),
        ("a10", 'weights = ["fp16", "fp8"]\nkv_cache = "bf16"', ["fp16/fp16", "fp8/bf16"]),
        ("a10", 'weights = "bf16"\nkv_cache = ["bf16", "fp16"]', ["bf16/bf16"]),
    ],
)
def test_all_that_has_16_bits_is_of_one_type_that_the_device_computes_in(device, asked, found):
    on = pool().model_copy(update={"device": catalog.device(device)})
    names = [f"{w.name}/{k.name}" for w, k in formats(spec(quantization=asked), (on,))]
    assert names == found


def test_settings_that_an_engine_refuses_are_told_and_not_bent():
    asked = spec(
        engine="max_num_seqs = [64, 256]\nmax_num_batched_tokens = [64, 512]",
        parallelism="tensor = 1\npipeline = 1",
    )
    found = enumerate_replicas(asked, 560)
    named = [(s.settings.max_num_seqs, s.settings.max_num_batched_tokens) for s, _ in found.legal]
    assert named == [(64, 64), (64, 512), (256, 512)]
    assert found.refused == {"max_num_seqs = 256 is more than max_num_batched_tokens = 64": 1}


def test_default_sequences_are_no_more_than_a_budget_that_is_named():
    asked = spec(engine="max_num_batched_tokens = 512")
    chosen = next(settings(asked, asked.pools[0], catalog.release("vllm", "0.19"), 560))
    assert (chosen.max_num_seqs, chosen.max_num_batched_tokens) == (512, 512)


def test_the_longest_request_in_whole_blocks_is_the_length_that_the_cache_must_hold():
    release = catalog.release("vllm", "0.19")
    asked = spec(engine="chunked_prefill = false")
    chosen = next(settings(asked, asked.pools[0], release, 9001))
    assert chosen.max_model_len == 9008
    assert chosen.max_num_batched_tokens == 9008
    assert next(settings(spec(), pool(), release, 9001)).max_num_batched_tokens == 8192


def test_reasons_are_counted_by_shape():
    asked = spec(parallelism="tensor = [3, 4]\npipeline = [1]")
    found = enumerate_replicas(asked, 560)
    assert [s.tensor for s, _ in found.legal] == [4]
    assert found.refused == {"32 query heads do not divide by tensor = 3": 1}


UNLIKE = (
    'name = "a100"\ndevice = "a100-sxm-40gb"\nnodes = 1\ndevices_per_node = 4\n'
    '[[pools]]\nname = "l4"\ndevice = "l4"\nnodes = 4\ndevices_per_node = 1'
)


def across(**tables):
    """The legal replicas that stand in several pools."""
    found = enumerate_replicas(spec(**tables), 1000)
    return [(s, room) for s, room in found.legal if s.elsewhere]


def test_replicas_stand_in_several_pools_only_where_that_is_asked_for():
    tables = {"model": 'name = "llama-2-70b"', "pools": UNLIKE}
    assert across(**tables) == []
    found = across(**tables, parallelism="cross_pool = true")
    assert found
    for s, room in found:
        assert why_no_room(s, room) is None
        assert {pool.name for pool, _ in s.pools()} == {"a100", "l4"}
        assert all(n * s.tensor <= 4 for _, n in s.pools())
        assert s.pipeline <= 16
    keys = {(s.tensor, s.stage_layers, tuple(at.pool.name for at in s.places)) for s, _ in found}
    assert len(keys) == len(found)


def test_degrees_that_are_asked_for_hold_over_pools_too():
    tables = {"model": 'name = "llama-2-70b"', "pools": UNLIKE}
    found = across(**tables, parallelism="cross_pool = true\ntensor = 2\npipeline = [3, 4]")
    assert {(s.tensor, s.pipeline) for s, _ in found} == {(2, 3), (2, 4)}
    found = across(**tables, parallelism="cross_pool = true\nmax_stages = 5")
    assert max(s.pipeline for s, _ in found) == 5


def test_over_pools_all_stages_have_the_format_that_each_device_runs():
    pools = UNLIKE.replace('device = "l4"', 'device = "t4"')
    found = across(
        model='name = "llama-2-13b"', pools=pools, parallelism="cross_pool = true\ntensor = 1"
    )
    assert {(s.weights.name, s.kv_cache.name) for s, _ in found} == {("fp16", "fp16")}


def test_each_pool_has_clocks_of_its_own():
    pools = UNLIKE.replace("nodes = 1\n", "nodes = 1\nclocks_mhz = [1410, 1200]\n")
    found = across(
        model='name = "llama-2-70b"', pools=pools, parallelism="cross_pool = true\ntensor = 2"
    )
    clocks = {tuple(sorted({(at.pool.name, at.clock) for at in s.places})) for s, _ in found}
    low = pytest.approx(1200 / 1410)
    assert sorted(dict(c)["a100"] for c in clocks) == [low, 1.0]
    assert {dict(c)["l4"] for c in clocks} == {1.0}


def test_over_pools_sglang_leaves_what_the_smallest_device_needs():
    found = across(
        model='name = "llama-2-70b"',
        pools=UNLIKE,
        engine='name = "sglang"',
        parallelism="cross_pool = true\ntensor = 2",
    )
    assert found
    for s, _ in found:
        own = [own_share(spec().engine, s.release, s.at(stage)) for stage in range(s.pipeline)]
        assert s.settings.gpu_memory_utilization == min(own)


@pytest.mark.parametrize(
    ("pools", "inside", "over"),
    [
        (UNLIKE.replace("node = 4", "node = 3", 1), None, 5),
        (UNLIKE.replace("40gb", "80gb"), 2, 2),
    ],
)
def test_the_fewest_devices_are_those_of_the_smallest_legal_replica(pools, inside, over):
    for asked, fewest in (("", inside), ("cross_pool = true", over)):
        one = spec(model='name = "llama-2-70b"', pools=pools, parallelism=asked)
        legal = enumerate_replicas(one, 1000).legal
        assert min((s.devices for s, _ in legal), default=None) == fewest
        assert fewest_devices(one, 1000) == fewest


def test_replicas_over_pools_are_looked_at_only_where_they_take_fewer_devices(monkeypatch):
    monkeypatch.setattr("apex_opt.plan.unlike.placed", None)
    pools = UNLIKE.replace("40gb", "80gb")
    one = spec(model='name = "llama-2-70b"', pools=pools, parallelism="cross_pool = true")
    assert fewest_devices(one, 1000) == 2
