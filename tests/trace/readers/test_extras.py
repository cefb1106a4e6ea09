from __future__ import annotations

from pathlib import Path

import pytest

from apex_opt.errors import TraceError
from apex_opt.trace.read import read
from apex_opt.trace.readers import extras

LINE = '{{"timestamp": 0, "input_length": {}, "output_length": 1, "hash_ids": {}}}\n'
WHOLE = "hash_ids: must be a list of whole numbers"


def write(folder: Path, tokens: int, ids: str) -> Path:
    path = folder / "t"
    path.write_text(LINE.format(tokens, ids))
    return path


@pytest.mark.parametrize("tokens", [1023, 1024, 1025, 1535])
def test_a_last_block_in_part_may_have_an_id_or_not(tokens: int, tmp_path: Path) -> None:
    assert len(read(write(tmp_path, tokens, "[1, 2]"))) == 1


@pytest.mark.parametrize("ids", ["[]", "null"])
def test_ids_may_be_left_out(ids: str, tmp_path: Path) -> None:
    assert len(read(write(tmp_path, 5000, ids)).prefix) == 0


@pytest.mark.parametrize(
    ("ids", "why"),
    [
        ("7", WHOLE),
        ("0", WHOLE),
        ('"12"', WHOLE),
        ('{"1": 2}', WHOLE),
        ("[1, 2.0]", WHOLE),
        ('[1, "2"]', WHOLE),
        ("[1, null]", WHOLE),
        ("[1, 9223372036854775808]", WHOLE),
        (
            "[1, 2, 3]",
            (
                "hash_ids: 3 blocks of 512 tokens are not a prompt of 1,024; "
                "say with `block_tokens` how long a block is"
            ),
        ),
    ],
)
def test_ids_that_cannot_be_are_refused(ids: str, why: str, tmp_path: Path) -> None:
    path = write(tmp_path, 1024, ids)
    with pytest.raises(TraceError) as fault:
        read(path)
    assert str(fault.value) == f"{path}:1: {why}"


def test_more_blocks_than_memory_should_give_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(extras, "MOST_BLOCKS", 1)
    path = write(tmp_path, 1024, "[1, 2]")
    with pytest.raises(TraceError) as fault:
        read(path)
    assert str(fault.value) == f"{path}:1: more than 1 blocks; cut the trace into parts"
