import pytest

from apex_opt.auditing.kept import kept
from apex_opt.auditing.repair import moved
from apex_opt.auditing.story import known_entries
from tests.auditing.gallery import load, make, pool


@pytest.fixture
def crowded(judge):
    """Two limits, each of which leaves one device for the work of several; and its entries."""
    spec = make(
        pools=pool(1),
        workload=load(500, 4000),
        slo="ttft_ms = { p50 = 200 }",
        limits="devices = 1",
    )
    return spec, known_entries(spec, judge, judge.ask(spec))


def test_what_must_change_together_for_the_demand_is_found_and_nothing_more(judge, crowded):
    spec, entries = crowded
    (repair,) = kept(judge, spec, entries, [])
    assert {m.entry.key for m in repair.moves} == {"limits.devices", "pools.p.nodes"}
    assert judge.ask(moved(spec, repair.moves)).feasible
    for left in repair.moves:
        others = [m for m in repair.moves if m is not left]
        assert judge.ask(moved(spec, others)).status == "infeasible"


def test_where_a_repair_keeps_the_demand_no_other_is_sought(judge, crowded):
    spec, entries = crowded
    (repair,) = kept(judge, spec, entries, [])
    asked = judge.questions
    assert kept(judge, spec, entries, [repair]) == []
    assert judge.questions == asked
