from apex_opt.cost.memory import fit
from apex_opt.plan.candidate import KEPT, Candidate
from tests.shapes import shape


def test_idle_power_is_that_of_the_step_table():
    s = shape("llama-3.1-70b", tensor=4, pipeline=2)
    one = Candidate(s, fit(s), 0)
    assert one.idle_w == one.steps.idle_w == 8 * 85


def test_step_tables_are_kept_for_a_while_and_made_anew_the_same():
    s = shape()
    room = fit(s)
    one, others = Candidate(s, room, 0), [Candidate(s, room, 0) for _ in range(KEPT)]
    first = one.steps
    assert one.steps is first
    for other in others:
        assert other.steps is not first
    again = one.steps
    assert again is not first
    assert (again.mixed_ns == first.mixed_ns).all()
