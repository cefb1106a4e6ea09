import pytest
from hypothesis import given, settings

from apex_opt.solvers.flow_bound import bound
from apex_opt.solvers.flow_cut import capped, cut_bound
from apex_opt.solvers.flow_verify import throughput
from tests.solvers.flows import apart, flow, flows, placements


def test_machines_carry_no_more_than_their_links():
    links = ((0.0, 5.5, 9.0), (9.0, 0.0, 9.0), (9.0, 0.0, 0.0))
    # 1 sends 18 on; 0 gets 18; 2 sends 9, or 4.5 to the sink: all 6 but for what 1 gets.
    data = capped(flow(links=links, enter=(0.0,) * 3, leave=(0.0, 9.0, 4.5)))
    assert data.rates == ((pytest.approx(5.5), 5.0, 4.0), (6.0, 5.0, 4.0))
    assert data.machines == (1, 0, 1)


def test_with_wide_links_nothing_is_capped():
    data = flow(rates=((9.0,), (6.0, 5.0)), machines=(1, 1))
    assert capped(data).rates == ((6.0, 5.0),)
    assert capped(data).machines == (0, 0)
    assert cut_bound(data, 7.0) == 7.0


def test_sites_without_links_carry_what_each_does():
    # One machine at each holds both layers and carries 5; together they would carry 6 in a row.
    data = apart((0, 1), link=0.0, layers=2, rates=((6.0, 5.0),))
    assert cut_bound(data, 12.0) == pytest.approx(10.0, rel=3e-4)


def test_each_pair_of_machines_carries_tokens_over_the_cut_once():
    # Neither site holds the model; two pairs of machines at most carry 2 each.
    data = apart((0, 1, 1), link=2.0, layers=3, rates=((6.0, 5.0),))
    one = apart((0, 1), link=2.0, layers=3, rates=((6.0, 5.0),))
    assert cut_bound(one, 9.0) == 2.0
    assert cut_bound(data, 9.0) == pytest.approx(4.0 + 5.0, rel=3e-4)


def test_no_more_flows_than_the_source_sends_and_the_sink_takes():
    assert cut_bound(flow(enter=(1.0, 2.0, 99.0)), 99.0) == 9.0
    assert cut_bound(flow(leave=(1.0, 2.0, 0.5)), 99.0) == 3.5


@settings(max_examples=60, deadline=None)
@given(flows())
def test_no_placement_exceeds_it_and_caps_change_none(data):
    tight = capped(data)
    rates = [(throughput(data, p), throughput(tight, p)) for p in placements(data)]
    assert all(one == other for one, other in rates)
    limit = bound(tight.layers, tight.rates, tight.counts, 0.0)
    assert cut_bound(tight, limit) >= float(max(rates)[0]) * (1 - 1e-12)
