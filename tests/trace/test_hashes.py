from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apex_opt.trace.hashes import block_ids
from apex_opt.trace.read import read
from apex_opt.trace.sharing import cached_tokens
from apex_opt.trace.trace import Trace
from apex_opt.trace.writers import encode, writer
from tests.trace.traces import hashed

DATA = Path(os.environ.get("APEXOPT_DATA", Path(__file__).parents[3] / "shared" / "data"))


def back(trace: Trace, path: Path) -> Trace:
    path.write_bytes(b"".join(encode(trace, writer("mooncake"))))
    return read(path)


def test_shared_blocks_have_one_id_and_all_others_their_own() -> None:
    trace = hashed([[7, 8, 9], [7, 8, 5], [3]], 10)
    assert list(block_ids(trace, 10)) == [[0, 1, 2], [0, 1, 3], [4]]


def test_a_last_block_in_part_is_shared_by_equal_prompts_alone() -> None:
    trace = hashed([[7, 8], [7, 8], [7, 9]], 10, short=[3, 3, 3])
    assert list(block_ids(trace, 10)) == [[0, 1], [0, 1], [0, 2]]


def test_larger_blocks_keep_what_they_hold_whole() -> None:
    trace = hashed([[7, 8, 9], [7, 8, 9]], 10, short=[1, 0])
    # 29 tokens are shared: of blocks of 20 the first.
    assert list(block_ids(trace, 20)) == [[0, 1], [0, 2]]


@given(
    rows=st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=5), min_size=1, max_size=10),
    last=st.integers(0, 511),
)
@settings(max_examples=60, deadline=None)
def test_what_is_written_reads_back_with_the_same_beginnings(
    tmp_path_factory: pytest.TempPathFactory, rows: list[list[int]], last: int
) -> None:
    if last:  # a block in part has another hash than the whole one
        rows = [[*row[:-1], 100 + row[-1]] for row in rows]
    trace = hashed(rows, 512, short=[last] * len(rows))
    again = back(trace, tmp_path_factory.getbasetemp() / "hashed")
    assert again.prompt_tokens.tolist() == trace.prompt_tokens.tolist()
    assert cached_tokens(again).tolist() == cached_tokens(trace).tolist()
    assert np.sort(again.prefixes.tokens).tolist() == np.sort(trace.prefixes.tokens).tolist()


@pytest.mark.skipif(not (DATA / "traces").is_dir(), reason=f"no measured traces in {DATA}")
def test_the_mooncake_trace_is_written_as_it_was_read(tmp_path: Path) -> None:
    trace = read(DATA / "traces" / "mooncake_conversation_1000.jsonl")
    again = back(trace, tmp_path / "t")
    assert (again.prefix == trace.prefix).all()
    assert (again.prefixes.tokens == trace.prefixes.tokens).all()
    assert (again.prefixes.parent == trace.prefixes.parent).all()
