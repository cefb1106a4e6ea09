from dataclasses import replace
from itertools import combinations, pairwise, permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apex_opt.cost.memory import fit
from apex_opt.cost.reference import Step
from apex_opt.plan.legality import why_no_room
from apex_opt.plan.placing import ABOUT, Aim, need, placed, slowest_s
from tests.shapes import SETTINGS, shape, unlike

DECODING = Aim(Step(8, 512), 1)


def small(pool, gigabytes):
    """The pool with less memory in each device."""
    device = pool.device.model_copy(update={"memory_bytes": int(gigabytes * 1e9)})
    return pool.model_copy(update={"device": device})


def with_memory(s, gigabytes):
    """A replica whose pools have devices of so many gigabytes, by name."""
    places = tuple(replace(at, pool=small(at.pool, gigabytes[at.pool.name])) for at in s.places)
    return replace(s, pool=places[0].pool, elsewhere=places)


def holds(s, aim):
    """Whether each stage has memory for its layers as the model counts it."""
    for stage, counts in enumerate(s.stage_counts()):
        asked = need(s, stage, aim)
        held = sum(asked.bytes[name] * n for name, n in counts.items())
        held += asked.ends[0] * (stage == 0) + asked.ends[1] * (stage == s.pipeline - 1)
        if held > asked.room:
            return False
    return True


def every_split(s):
    """Every order of the stages, with every way to cut the layers among all of them or fewer."""
    layers, seen = sum(s.stage_layers), set()
    for stages in range(1, s.pipeline + 1):
        for places in permutations(s.places, stages):
            names = tuple(at.pool.name for at in places)
            if names in seen:
                continue
            seen.add(names)
            for cuts in combinations(range(1, layers), stages - 1):
                ends = (0, *cuts, layers)
                split = tuple(b - a for a, b in pairwise(ends))
                yield replace(s, pool=places[0].pool, stage_layers=split, elsewhere=tuple(places))


@settings(max_examples=12, deadline=None)
@given(
    devices=st.sampled_from(
        [("l4", "a100-sxm-40gb"), ("t4", "l4", "l4"), ("t4", "v100-sxm-32gb", "t4")]
    ),
    memory=st.tuples(st.sampled_from([0.9, 1.4, 3.0]), st.sampled_from([0.9, 1.4, 3.0])),
    step=st.sampled_from([Step(8, 512), Step(1, 64), Step(256)]),
    requests=st.sampled_from([1, 2]),
)
def test_no_other_split_is_faster_and_a_split_is_found_where_there_is_one(
    devices, memory, step, requests
):
    chosen = replace(SETTINGS, max_num_seqs=8, max_num_batched_tokens=256, max_model_len=1024)
    chosen = replace(chosen, graph_tokens=0)
    plain = shape("gpt2", weights="fp16", kv_cache="fp16", settings=chosen)
    names = dict.fromkeys(devices)
    s = with_memory(unlike(plain, devices), dict(zip(names, memory, strict=True)))
    aim = Aim(step, requests)
    found = placed(s, aim)
    times = [slowest_s(one, aim) for one in every_split(s) if holds(one, aim)]
    assert (found is None) == (not times)
    if found is not None:
        assert holds(found, aim)
        assert slowest_s(found, aim) <= min(times) * ABOUT * (1 + 1e-6)
        assert why_no_room(found, fit(found)) is None


@pytest.mark.parametrize("gigabytes", [8.5, 14.0])
def test_of_a_mixture_of_experts_the_dense_layer_and_the_ends_are_placed_by_what_they_take(
    gigabytes,
):
    # 27 layers, the first one dense; embedding and head of 420 MB each.
    chosen = replace(SETTINGS, max_num_seqs=8, max_num_batched_tokens=256, max_model_len=1024)
    plain = shape("deepseek-v2-lite", tensor=2, settings=replace(chosen, graph_tokens=0))
    asked = unlike(plain, ["l40s", "a100-sxm-80gb", "l40s"])
    s = with_memory(asked, {"l40s": gigabytes, "a100-sxm-80gb": 12.0})
    found = placed(s, DECODING)
    assert found is not None
    times = [slowest_s(one, DECODING) for one in every_split(s) if holds(one, DECODING)]
    assert slowest_s(found, DECODING) <= min(times) * ABOUT * (1 + 1e-6)
    assert holds(found, DECODING)
    assert why_no_room(found, fit(found)) is None


# Llama-2-70B has 80 layers of 1.7 GB each; an L4 has 24 GB, a T4 16 GB.
@pytest.mark.parametrize(
    ("devices", "most"),
    [
        (["a100-sxm-40gb"] * 4 + ["l4"] * 2, 12),
        (["a100-sxm-40gb"] * 3 + ["l4"] * 4, 12),
        (["a100-sxm-40gb"] * 2 + ["l4"] * 3 + ["t4"] * 4, 12),
    ],
)
@pytest.mark.parametrize("aim", [DECODING, Aim(Step(64, 512), 64), Aim(Step(2048), 1)])
def test_a_small_device_never_gets_a_layer_too_many(devices, most, aim):
    chosen = replace(SETTINGS, max_model_len=1024)
    plain = shape("llama-2-70b", weights="fp16", kv_cache="fp16", settings=chosen)
    asked = unlike(plain, devices)
    found = placed(asked, aim)
    assert found is not None
    assert sum(found.stage_layers) == 80
    for at, layers in zip(found.places, found.stage_layers, strict=True):
        assert at.pool.name == "a100-sxm-40gb" or layers <= most
    room = fit(found)
    assert why_no_room(found, room) is None
    assert room.blocks * 16 >= aim.requests * 1024
    # Pools follow each other.
    names = [at.pool.name for at in found.places]
    assert sum(a != b for a, b in pairwise(names)) == len(set(names)) - 1


def test_split_evenly_a_small_device_would_have_layers_too_many():
    chosen = replace(SETTINGS, max_model_len=1024)
    plain = shape("llama-2-70b", weights="fp16", kv_cache="fp16", settings=chosen)
    asked = unlike(plain, ["a100-sxm-40gb"] * 4 + ["l4"] * 2)
    assert asked.stage_layers == (13, 13, 13, 14, 14, 13)
    assert why_no_room(asked, fit(asked)) is not None


def test_where_nothing_fits_no_split_is_found():
    plain = shape("llama-2-70b", weights="fp16", kv_cache="fp16")
    assert placed(unlike(plain, ["l4", "l4", "t4"]), DECODING) is None


def test_stages_that_do_not_speed_up_a_replica_are_left_out():
    # One stage of an L4 beside an H100 slows down a model that the H100 holds with ease.
    s = unlike(shape("gpt2", weights="fp16", kv_cache="fp16"), ["h100-sxm-80gb", "l4"])
    found = placed(s, Aim(Step(1, 16), 1))
    assert found is not None
    assert found.pipeline in {1, 2}
    assert slowest_s(found, DECODING) > 0


def test_layers_of_one_pool_are_spread_evenly_between_the_ends():
    s = shape("llama-3.1-8b", pipeline=4)
    found = placed(s, DECODING)
    assert found is not None
    assert found.elsewhere == ()
    assert sum(found.stage_layers) == 32
    # The head is as heavy as some layers: the last stage has fewer.
    assert found.stage_layers[-1] < max(found.stage_layers)
    assert max(found.stage_layers[1:-1]) - min(found.stage_layers[1:-1]) <= 1
