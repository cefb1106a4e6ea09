from apex_opt.auditing.judge import Judge
from apex_opt.auditing.story import answer
from tests.auditing.gallery import HUGE, make, pool, timeless


def audit(spec):
    return answer(spec, timeless())


def test_without_time_the_answer_is_undecided_and_says_so():
    found = answer(make(), Judge(0.0, lambda _: None))
    assert found.status == "undecided"
    assert found.text == (
        "not proved: no plan was found among 0 simulated, and none is excluded; "
        "raise `search.time_limit_s`, or lower `workload.requests`"
    )
    assert found.conflict is None


def test_two_conflicts_are_repaired_together():
    found = audit(make(**HUGE, pools=pool(1, gigabytes=100), slo="ttft_ms = { p99 = 1 }"))
    assert [c.code for c in found.conflicts] == ["memory.weights", "slo.unreachable"]
    for relaxation in found.relaxations:
        keys = [change.entry.key for change in relaxation.changes]
        assert "slo.ttft_ms.p99" in keys
        assert len(keys) == 2
        assert relaxation.smallest == "proved"


def test_the_same_spec_gives_the_same_answer():
    spec = make(limits="power_w = 150")
    assert audit(spec) == audit(spec)


def test_where_goodput_is_maximised_requests_that_come_late_are_no_conflict():
    spec = make(objective='maximize = "goodput"', slo="ttft_ms = 1", pools=pool(1))
    assert audit(spec).status == "feasible"
