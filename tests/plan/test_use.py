import dataclasses

import pytest

from apex_opt.cost.memory import fit
from apex_opt.cost.work import model_work
from apex_opt.plan.candidate import Candidate
from apex_opt.plan.use import Part, use
from apex_opt.sim.totals import Totals
from tests.shapes import shape

TOTALS = dataclasses.replace(Totals(*[0] * 14), steps=1, prompt_tokens=1000, rows=1)


# Dense peaks of the H100 SXM, TFLOP/s; products of AWQ weights run in 16 bits.
@pytest.mark.parametrize(
    ("weights", "peak"), [("bf16", 989.4e12), ("fp8", 1978.9e12), ("awq-int4", 989.4e12)]
)
def test_mfu_is_a_share_of_the_peak_in_which_products_run(weights, peak):
    s = shape(weights=weights)
    found = use([Part(Candidate(s, fit(s), 0), 1, 1)], [TOTALS], duration_s=2.0)
    assert found.mfu == pytest.approx(model_work(s).flops(TOTALS) / (2.0 * peak), rel=1e-3)


def test_a_cache_that_every_rank_fills_is_full_and_ranks_that_all_work_are_busy():
    s = shape("mixtral-8x7b", tensor=2, attention_data=2, expert=4)
    part = Part(Candidate(s, fit(s), 0), 3, 1)
    blocks = part.candidate.rules.blocks
    full = dataclasses.replace(TOTALS, block_ns=6 * blocks * 2e9, busy_ns=6 * 2 * 10**9)
    found = use([part], [full], duration_s=2.0)
    assert (part.devices, part.blocks) == (12, 6 * blocks)
    assert (found.kv_use_mean, found.busy) == (1.0, 1.0)
