from dataclasses import replace

import pytest

from apex_opt.cost.memory import fit
from apex_opt.plan.depths import Hopeless, few_pinned
from apex_opt.plan.enumerate import enumerate_replicas, fewest_devices
from tests.shapes import SETTINGS, shape
from tests.small_specs import spec

POOL = (
    'name = "p"\ndevice = { base = "h100-sxm-80gb", memory_bytes = %d_000_000_000 }\n'
    "nodes = 8\ndevices_per_node = 2"
)
SPECS = {
    "all fit": (80, {}),
    "deep ones fit": (8, {"engine": "max_num_seqs = 64"}),
    "none fits": (2, {}),
    "pinned": (8, {"engine": "max_num_seqs = 64\nnum_gpu_blocks = 40"}),
    "unlike layers": (8, {"model": 'name = "gpt-oss-20b"', "engine": "max_num_seqs = 64"}),
    "windows": (8, {"model": 'name = "gemma-2-9b"', "engine": "max_num_seqs = 64"}),
    "experts": (24, {"model": 'name = "mixtral-8x7b"', "engine": "max_num_seqs = 64"}),
    "states": (24, {"model": 'name = "qwen3-next-80b-a3b"', "engine": "max_num_seqs = 64"}),
    "a share that falls with the stages": (
        10,
        {"engine": 'name = "sglang"\nmax_num_seqs = 64'},
    ),
    "deepest first": (10, {"parallelism": "pipeline = [16, 32, 4, 2]\ntensor = [1, 2]"}),
    "guesses": (
        10,
        {"engine": '[engine.speculation]\nmethod = "ngram"\ntokens = 3\nacceptance = 0.5'},
    ),
}


@pytest.mark.parametrize("case", SPECS)
def test_what_is_passed_over_is_not_legal(case):
    gigabytes, tables = SPECS[case]
    one = spec(pools=POOL % gigabytes, **tables)
    every = enumerate_replicas(one, 1000)
    legal = enumerate_replicas(one, 1000, reasons=False).legal
    assert legal == every.legal
    least = min((s.devices for s, _ in legal), default=None)
    assert fewest_devices(one, 1000) == least


@pytest.mark.parametrize(
    ("case", "looked_at"),
    # One stage and two of each of TP 1, 2, 4 and 8: these show that no deeper one fits.
    [("none fits", 8), ("deep ones fit", None)],
)
def test_of_a_group_that_is_hopeless_two_replicas_are_looked_at(case, looked_at):
    gigabytes, tables = SPECS[case]
    one = spec(pools=POOL % gigabytes, **tables)
    every = sum(enumerate_replicas(one, 1000).refused.values())
    few = sum(enumerate_replicas(one, 1000, reasons=False).refused.values())
    assert few == (every if looked_at is None else looked_at)
    assert looked_at is None or every > 2 * few


def test_only_deeper_replicas_of_the_same_group_are_passed_over():
    none = Hopeless()
    broken = shape("llama-3.1-8b", tensor=3, pipeline=2)
    none.learn((3,), replace(broken, stage_layers=(32,)))
    assert not none.has((3,), 2)
    none.learn((3,), broken)
    assert [none.has((3,), n) for n in (1, 2, 3, 32)] == [False, False, True, True]
    assert not none.has((1,), 3)


def test_blocks_are_too_few_for_any_split_where_layers_are_of_one_kind():
    pinned = replace(SETTINGS, max_model_len=1024, num_gpu_blocks=4)
    for model, few in (("llama-3.1-8b", True), ("gpt-oss-20b", False)):
        s = shape(model, pipeline=2, settings=pinned)
        assert few_pinned(s, fit(s)) is few
    enough = shape("llama-3.1-8b", pipeline=2, settings=replace(pinned, num_gpu_blocks=64))
    assert not few_pinned(enough, fit(enough))
