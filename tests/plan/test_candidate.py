from dataclasses import replace

from apex_opt.cost.memory import fit
from apex_opt.plan.candidate import KEPT, Candidate
from tests.shapes import shape


def test_idle_power_is_that_of_the_step_table():
    s = shape("llama-3.1-70b", tensor=4, pipeline=2)
    one = Candidate(s, fit(s), 0)
    assert one.idle_w == one.steps.idle_w == 8 * 85


def test_step_tables_are_kept_for_a_while_and_made_anew_the_same():
    s = shape()
    one = Candidate(s, fit(s), 0)
    clocks = [1 / (2 + n) for n in range(KEPT)]
    others = [Candidate(replace(s, clock=c), fit(s), 0) for c in clocks]
    first = one.steps
    assert one.steps is first
    for other in others:
        assert other.steps is not first
    again = one.steps
    assert again is not first
    assert (again.mixed_ns == first.mixed_ns).all()


def test_pools_that_differ_in_number_and_price_only_share_a_step_table():
    s = shape()
    pool = s.pool.model_copy(update={"nodes": 7, "price_per_device_hour": 9.0, "name": "other"})
    assert Candidate(replace(s, pool=pool), fit(s), 1).steps is Candidate(s, fit(s), 0).steps
    capped = s.pool.model_copy(update={"power_cap_w": 400.0})
    assert Candidate(replace(s, pool=capped), fit(s), 0).steps is not Candidate(s, fit(s), 0).steps
