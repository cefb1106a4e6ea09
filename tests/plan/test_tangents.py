import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from apex_opt.plan.tangents import lines


@given(
    table=st.lists(st.floats(0.0, 1e9), min_size=1, max_size=60),
)
def test_lines_lie_under_their_table(table):
    whole = np.array([0.0, *table])
    for line in lines(whole):
        assert line.base >= 0
        assert line.slope >= 0
        for n, y in enumerate(table, 1):
            assert line.base + line.slope * n <= y + 1e-12 * max(table)


def test_a_line_that_would_start_just_below_zero_is_not_lifted():
    # The chord from one token to 16 starts just below zero: lifted, it would lie over 17.
    table = np.array([0.0, 1e6, *(1e6 * n + 0.05 * (n - 1) for n in range(2, 17)), 17e6])
    for line in lines(table):
        assert line.base + line.slope * 17 <= 17e6
