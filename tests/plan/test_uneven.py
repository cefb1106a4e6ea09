from dataclasses import replace

import pytest

from apex_opt.cost.memory import fit
from apex_opt.plan.candidate import Candidate
from apex_opt.plan.enumerate import enumerate_replicas
from apex_opt.plan.legality import why_no_room
from apex_opt.plan.uneven import uneven
from tests.shapes import SETTINGS, shape
from tests.small_specs import spec


def on(gigabytes, *, model, pipeline, **knobs):
    """A replica on devices of so many gigabytes."""
    chosen = replace(SETTINGS, max_model_len=1024, max_num_seqs=64, graph_tokens=0)
    s = shape(model, pipeline=pipeline, settings=chosen, **knobs)
    device = s.pool.device.model_copy(update={"memory_bytes": int(gigabytes * 1e9)})
    return replace(s, pool=s.pool.model_copy(update={"device": device}))


def test_where_the_stage_with_the_head_runs_out_of_memory_it_gets_fewer_layers():
    # A layer has 436 MB, embedding and head 1,050 MB each.
    s = on(7.2, model="llama-3.1-8b", pipeline=3)
    assert s.stage_layers == (11, 11, 10)
    assert why_no_room(s, fit(s)) is not None
    other = uneven(s, fits=False)
    assert other is not None
    assert other.stage_layers == (10, 12, 10)
    assert why_no_room(other, fit(other)) is None


def test_where_all_memory_together_is_too_little_no_split_is_looked_for():
    s = on(4, model="llama-3.1-8b", pipeline=3)
    assert uneven(s, fits=False) is None


@pytest.mark.parametrize(("gigabytes", "found"), [(7.18, False), (7.2, True)])
def test_the_model_is_asked_only_for_splits_of_which_one_fits(monkeypatch, gigabytes, found):
    # At 7.18 GB the layers fit by their sum, but a part of a layer would have to stand alone.
    s = on(gigabytes, model="llama-3.1-8b", pipeline=3)
    cuts = [(a, b, 32 - a - b) for a in range(1, 31) for b in range(1, 32 - a)]
    every = [replace(s, stage_layers=cut) for cut in cuts]
    assert any(why_no_room(one, fit(one)) is None for one in every) == found
    if not found:
        monkeypatch.setattr("apex_opt.plan.uneven.placed", None)
    assert (uneven(s, fits=False) is not None) == found


def test_where_too_few_blocks_are_pinned_no_split_is_looked_for(monkeypatch):
    monkeypatch.setattr("apex_opt.plan.enumerate.uneven", None)
    pinned = {**TABLES, "engine": "max_num_seqs = 64\nnum_gpu_blocks = 4"}
    assert enumerate_replicas(spec(**pinned, parallelism="tensor = 1"), 1000).legal == ()


def test_a_split_that_is_hardly_faster_is_not_worth_a_look():
    # The head is as heavy as one layer or two: of 10 layers a stage that can hardly be mended.
    assert uneven(shape("llama-3.1-70b", tensor=8, pipeline=8), fits=True) is None
    other = uneven(on(80, model="llama-3.1-8b", pipeline=4), fits=True)
    assert other is not None
    assert other.stage_layers == (8, 9, 9, 6)


TABLES = {
    "model": 'name = "llama-3.1-8b"',
    "pools": (
        'name = "p"\ndevice = { base = "h100-sxm-80gb", memory_bytes = 7_200_000_000 }\n'
        "nodes = 1\ndevices_per_node = 4"
    ),
    "engine": "max_num_seqs = 64\ncuda_graphs = false",
}


@pytest.mark.parametrize(
    ("wanted", "splits"),
    [("even", set()), ("auto", {"p TP1 PP3"}), ("best", {"p TP1 PP3", "p TP1 PP4"})],
)
def test_which_splits_there_are_is_for_the_spec_to_say(wanted, splits):
    chosen = f'tensor = 1\nlayer_split = "{wanted}"'
    found = enumerate_replicas(spec(**TABLES, parallelism=chosen), 1000)
    names = [Candidate(s, room, 0).replica.label for s, room in found.legal]
    assert {name.split("[")[0] for name in names if "[" in name} == splits
    assert sum("[" not in name for name in names) == 1  # PP4, split evenly
    assert all(why_no_room(s, room) is None for s, room in found.legal)


def test_a_split_that_the_engine_would_not_choose_is_named():
    s = shape("llama-3.1-8b", pipeline=4)

    def named(*layers):
        other = replace(s, stage_layers=layers)
        return Candidate(other, fit(other), 0).replica.label

    assert named(8, 8, 8, 8) == "pool TP1 PP4 bf16"
    assert named(9, 9, 8, 6) == "pool TP1 PP4[2x9,8,6] bf16"
