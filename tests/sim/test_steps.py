from __future__ import annotations

from collections.abc import Callable

from apex_opt.sim.steps import StepTable


def test_a_table_knows_its_size(flat: Callable[..., StepTable]) -> None:
    steps = flat(stages=3, tokens=17)
    assert (steps.stages, steps.max_tokens, steps.max_seqs) == (3, 17, 17)
