import dataclasses

import pytest

from apex_opt.errors import InfeasibleError
from apex_opt.plan.roles import exchange, in_role, why_not_apart
from apex_opt.plan.solve import legal_candidates, solve
from apex_opt.spec import catalog
from apex_opt.trace.traffic import traffic
from tests.shapes import shape
from tests.small_specs import spec


def of_engine(engine, version, **tables):
    s = shape(**tables)
    chosen = dataclasses.replace(s.settings, engine=engine, version=version)
    return dataclasses.replace(s, settings=chosen, release=catalog.release(engine, version))


def test_a_cache_moves_between_replicas_that_spread_it_alike():
    one, two = (shape("deepseek-v3", tensor=8, context=c) for c in (1, 8))
    assert exchange(one) != exchange(two)
    assert exchange(two) == exchange(dataclasses.replace(two))


@pytest.mark.parametrize(
    ("engine", "version", "tables", "reason"),
    [
        ("vllm", "0.19", {}, None),
        ("vllm", "0.6", {}, "vllm 0.6 moves no cache between replicas"),
        (
            "vllm",
            "0.19",
            {"pipeline": 2},
            "vllm moves no cache between replicas of pipeline = 2",
        ),
        ("vllm", "0.19", {"kv_cache": "fp8"}, None),
        ("vllm", "0.19", {"kv_cache": "int8"}, "vllm moves no int8 cache between replicas"),
        ("sglang", "0.5", {"pipeline": 2}, None),
        ("tensorrt-llm", "1.0", {"pipeline": 2}, None),
        (
            "tensorrt-llm",
            "1.0",
            {"model": "qwen3-next-80b-a3b", "tensor": 4},
            "tensorrt-llm moves no cache whose layers differ in their heads",
        ),
        (
            "vllm",
            "0.33",
            {"model": "whisper-large-v3"},
            "the cache of `whisper-large-v3`, an encoder-decoder model, does not move",
        ),
        ("vllm", "0.33", {"model": "gemma-3-27b"}, None),
    ],
)
def test_what_an_engine_can_do_apart(engine, version, tables, reason):
    assert why_not_apart(of_engine(engine, version, **tables)) == reason


def test_tensorrt_llm_prefills_without_scheduling_ahead():
    one = of_engine("tensorrt-llm", "1.0")
    assert one.settings.async_scheduling
    assert not in_role(one, "prefill").settings.async_scheduling
    assert in_role(one, "decode") == one
    assert in_role(shape(), "prefill") == shape()


@pytest.mark.parametrize(
    ("model", "engine", "moves"),
    [
        ("llama-3.1-8b", "vllm", True),
        ("qwen3-next-80b-a3b", "vllm", False),
        ("qwen3-next-80b-a3b", "sglang", True),
    ],
)
def test_recurrent_states_move_between_equal_tensor_degrees_alone_in_vllm(model, engine, moves):
    version = {"vllm": "0.19", "sglang": "0.5"}[engine]
    one, other = (of_engine(engine, version, model=model, tensor=t) for t in (2, 4))
    assert (exchange(one) == exchange(other)) is moves


def test_caches_of_unlike_formats_do_not_move():
    assert exchange(shape()) != exchange(shape(kv_cache="fp8"))


def roles_of(asked):
    offered = traffic(asked.workload, asked.search.seed, asked.folder)
    return [c.role for c in legal_candidates(asked, offered)]


def test_every_replica_stands_in_each_role_that_is_asked_for():
    table = "tensor = [1, 2]\npipeline = 1"
    assert roles_of(spec(parallelism=table)) == ["mixed"] * 2
    both = ["prefill"] * 2 + ["decode"] * 2
    assert roles_of(spec(parallelism=table + '\ndisaggregate = "only"')) == both
    assert roles_of(spec(parallelism=table + "\ndisaggregate = true")) == ["mixed"] * 2 + both


def test_where_no_replica_can_stand_apart_the_reason_is_told():
    asked = spec(parallelism='tensor = 1\npipeline = [2, 4]\ndisaggregate = "only"')
    with pytest.raises(InfeasibleError) as caught:
        roles_of(asked)
    assert str(caught.value) == (
        "no replica of the model can be started:\n"
        "  vllm moves no cache between replicas of pipeline = 4 (and 1 alike)"
    )


def test_devices_of_each_role_are_limited_and_told():
    plan = solve(
        spec(
            parallelism='tensor = 1\npipeline = 1\ndisaggregate = "only"',
            limits="prefill_devices = 1\ndecode_devices = 2",
            objective='minimize = "devices"',
            search="top_k = 1",
        )
    ).plans[0]
    told = {x.limit: (x.value, x.used) for x in plan.limits if x.limit.startswith("limits.")}
    assert told == {"limits.prefill_devices": (1, 1), "limits.decode_devices": (2, 1)}
