from dataclasses import replace

import numpy as np
import pytest

from apex_opt.cost.attention import NOMINAL_CONTEXT
from apex_opt.cost.drafts import draft_shape, drafts_of
from apex_opt.cost.memory import fit
from apex_opt.cost.table import replica_table
from apex_opt.spec import catalog
from apex_opt.spec.speculation import Speculation
from tests.shapes import SETTINGS, shape

TARGET = "llama-3.1-70b"
SMALL = {"method": "draft_model", "model": "llama-3.2-1b"}


def guessing(tensor=4, tokens=3, **asked):
    """A shape that guesses, 32 sequences at most."""
    wanted = Speculation.model_validate({"tokens": tokens, "acceptance": 0.7, **asked})
    drafts = drafts_of(wanted, catalog.model(TARGET))
    few = replace(SETTINGS, max_num_seqs=32, max_num_batched_tokens=512, drafts=drafts)
    return shape(TARGET, tensor=tensor, settings=few)


def test_without_guesses_there_is_nothing_to_guess_with():
    assert drafts_of(None, catalog.model(TARGET)) is None
    assert draft_shape(shape()) is None
    assert len(replica_table(shape()).draft_ns) == 0


def test_rows_reach_every_token_that_is_guessed():
    table = replica_table(guessing(method="ngram"))
    assert table.max_seqs == 32 * 4
    assert len(table.draft_ns) == 0


def test_a_guess_is_a_pass_of_the_small_model_without_the_engines_overhead():
    one, three = (replica_table(guessing(tokens=k, **SMALL)) for k in (1, 3))
    small = draft_shape(guessing(**SMALL))
    assert (small.model.name, small.tensor, small.weights.name) == ("llama-3.2-1b", 4, "bf16")
    assert small.release.overheads.step_us == 0
    assert three.draft_ns[:33] == pytest.approx(3 * one.draft_ns[:33], abs=3)
    # 1.2 billion weights of 2 bytes over 4 devices of 3.35 TB/s: no pass is faster.
    assert one.draft_ns[1] > 1.2e9 * 2 / 4 / 3.35e3
    assert one.draft_ns[32] > one.draft_ns[1]
    assert (one.draft_j[1:] > 0).all()


def test_a_small_model_reads_its_cache_too():
    table = replica_table(guessing(tokens=1, **SMALL))
    small = draft_shape(guessing(**SMALL))
    # 16 layers, 8 heads of 64 over 4 devices, keys and values of 2 bytes, 32 sequences.
    size = 16 * 2 * 64 * 2 * 2 * 32 * NOMINAL_CONTEXT
    assert small.stage_layers == (16,)
    assert table.draft_ns[32] - table.draft_ns[1] > size / 3.35e3


def test_heads_that_do_not_divide_put_the_whole_small_model_on_every_device():
    # gpt2 has 12 heads.
    assert draft_shape(guessing(tensor=4, method="draft_model", model="gpt2")).tensor == 4
    assert draft_shape(guessing(tensor=8, method="draft_model", model="gpt2")).tensor == 1


def test_one_more_layer_guesses_for_its_share_of_the_weights():
    eagle = guessing(method="eagle")
    small = draft_shape(eagle)
    assert small.stage_layers == (1,)
    assert small.weights == eagle.weights
    table = replica_table(eagle)
    assert 0 < table.draft_ns[1] / 3 < table.decode_ns[0, 1] / 10


def test_a_share_of_the_targets_step_is_taken_as_it_is_said():
    table = replica_table(guessing(method="eagle", draft_cost=0.05))
    expected = 3 * 0.05 * (table.decode_ns[0, 8] + table.rows_ns[0, 8])
    context = 3 * 0.05 * table.context_fs[0] / 1e6 * 8 * NOMINAL_CONTEXT
    assert table.draft_ns[8] == pytest.approx(expected + context, rel=1e-6)


def test_what_guesses_takes_memory():
    plain, small, layer = (
        fit(s) for s in (guessing(method="ngram"), guessing(**SMALL), guessing(method="mtp"))
    )
    # 1.24 billion weights over 4 devices; norms are on each.
    more = small.memory.weights - plain.memory.weights
    assert more == pytest.approx(1.24e9 * 2 / 4, rel=0.05)
    assert small.paging.page - plain.paging.page == 16 * 16 * 2 * 64 * 2 * 2
    own = layer.memory.weights - plain.memory.weights
    assert own == pytest.approx((70.55e9 - 2 * 128256 * 8192) / 80 * 2 / 4, rel=0.01)
    assert layer.paging.page - plain.paging.page == plain.paging.page / 80


def test_draft_columns_are_as_long_as_the_rows():
    table = replica_table(guessing(**SMALL))
    assert len(table.draft_ns) == len(table.draft_j) == table.max_seqs + 1
    assert np.all(np.diff(table.draft_ns[33:]) == 0)
