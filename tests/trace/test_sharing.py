from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apex_opt.sim.load import Prefixes
from apex_opt.trace.describe import conversations, sharing
from apex_opt.trace.read import read
from apex_opt.trace.sharing import cached_tokens
from tests.trace.traces import columns, hashed

DATA = Path(os.environ.get("APEXOPT_DATA", Path(__file__).parents[3] / "shared" / "data"))


def test_a_prompt_finds_what_earlier_ones_began_with() -> None:
    trace = replace(
        columns([0, 1, 2, 3], [30, 40, 25, 40]),
        prefix=np.array([1, 0, -1, 1]),
        prefixes=Prefixes(np.array([-1, 0]), np.array([10, 30])),
    )
    assert cached_tokens(trace).tolist() == [0, 10, 0, 30]


def test_a_later_turn_finds_all_that_was_said() -> None:
    trace = replace(
        columns([0, 1, 2], [10, 20, 35], [5, 5, 5]),
        after=np.array([-1, 0, 1]),
        think_ns=np.array([0, 10**9, 3 * 10**9]),
    )
    assert cached_tokens(trace).tolist() == [0, 15, 25]
    found = conversations(trace)
    assert found is not None
    assert (found.sessions, found.turns, found.most_turns, found.think_s) == (1, 3.0, 3, 2.0)


def test_a_trace_that_says_nothing_of_it_has_no_sharing_and_no_sessions() -> None:
    trace = columns([0, 1])
    assert (sharing(trace), conversations(trace)) == (None, None)
    assert not cached_tokens(trace).any()


@given(st.lists(st.lists(st.integers(0, 2), max_size=5), min_size=1, max_size=12))
@settings(max_examples=100, deadline=None)
def test_what_is_saved_is_what_a_set_of_all_beginnings_holds(rows: list[list[int]]) -> None:
    saved = cached_tokens(hashed(rows, block=10))
    held: set[tuple[int, ...]] = set()
    for row, found in zip(rows, saved.tolist(), strict=True):
        begins = [tuple(row[: k + 1]) for k in range(len(row))]
        assert found == 10 * sum(begin in held for begin in begins)
        held.update(begins)


@pytest.mark.skipif(not (DATA / "traces").is_dir(), reason=f"no measured traces in {DATA}")
def test_the_mooncake_trace_saves_what_a_set_of_its_blocks_holds() -> None:
    path = DATA / "traces" / "mooncake_conversation_1000.jsonl"
    trace = read(path)

    held: set[int] = set()
    blocks = 0
    for line in path.read_text().splitlines():
        ids = json.loads(line)["hash_ids"]
        blocks += sum(h in held for h in ids)
        held.update(ids)
    # Only a whole prompt can share a last block in part: at most one block a prompt differs.
    saved = int(cached_tokens(trace).sum())
    assert blocks * 512 - 512 * len(trace) < saved <= blocks * 512
    found = sharing(trace)
    assert found is not None
    assert found.requests == 1.0  # all begin with the same block
    assert found.cached_tokens == pytest.approx(0.22, abs=0.01)
