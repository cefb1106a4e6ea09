from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from apex_opt.sim.steps import StepTable


def test_a_table_knows_its_size(flat: Callable[..., StepTable]) -> None:
    steps = flat(stages=3, tokens=17)
    assert (steps.stages, steps.max_tokens, steps.max_seqs) == (3, 17, 17)


def test_stages_that_share_a_row_are_as_many_as_they_say(flat: Callable[..., StepTable]) -> None:
    two = replace(flat(stages=2, tokens=4), row=np.array([0, 1, 1]))
    two.decode_ns[1] *= 2
    assert two.stages == 3
    assert two.over_stages(two.decode_ns).tolist() == (5 * two.decode_ns[0]).tolist()
    assert two.over_stages(two.history_fs) == 0
    apart = two.unshared()
    assert (apart.stages, len(apart.row)) == (3, 0)
    assert apart.decode_ns.tolist() == two.decode_ns[[0, 1, 1]].tolist()
