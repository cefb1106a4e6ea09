from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apex_opt.report.sparkline import ASCII, BLOCKS, sparkline


@pytest.mark.parametrize(
    ("values", "width", "line"),
    [
        ([0, 1, 2, 4, 8], 5, " ▁▂▄█"),
        ([8, 8, 0, 0], 2, "█ "),
        ([8, 0, 4, 4], 2, "▄▄"),
        ([0.001, 8], 9, "▁█"),
        ([8, 8, 4], 2, "█▄"),
        ([0, 0], 9, "  "),
        ([], 9, ""),
    ],
)
def test_a_character_is_the_mean_of_a_stretch(values: list[float], width: int, line: str) -> None:
    assert sparkline(values, width, max(values, default=0.0)) == line


def test_a_terminal_without_blocks_has_as_many_levels() -> None:
    levels = list(range(9))
    assert sparkline(levels, 9, 8) == BLOCKS
    assert sparkline(levels, 9, 8, ASCII) == ASCII


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 10**9), min_size=1, max_size=300), st.integers(1, 100))
def test_a_line_is_no_wider_than_asked_and_blank_only_where_nothing_is(
    values: list[int], width: int
) -> None:
    line = sparkline(values, width, max(values))
    joined = -(-len(values) // width)
    assert len(line) == -(-len(values) // joined) <= width
    for k, character in enumerate(line):
        assert (character == " ") == (not any(values[k * joined : (k + 1) * joined]))
