import pytest
from hypothesis import given, settings

from apex_opt.solvers.flow_pool import Pool
from apex_opt.solvers.flow_sites import ANYWHERE, by_site
from apex_opt.solvers.flow_table import table
from tests.solvers.flows import WIDE, apart, flow, flows


def grown(data, rate):
    pool = Pool(data.layers, by_site(data, WIDE))
    return pool, pool.grow(rate, 8)


def test_blocks_in_a_row_hold_all_layers():
    pool, theta = grown(flow(machines=(0,) * 4), 10.0)
    rate, row = pool.best(0.0)
    assert (rate, theta) == (10.0, pytest.approx(1.0))
    assert sum(block.length for block in row) == 4
    assert sum(block.use[0] for block in row) == 4


def test_theta_tells_how_many_times_the_machines_would_be_needed():
    # Two layers at 5 each: four machines for 10, and there are two.
    _, theta = grown(flow(machines=(0, 0), rates=((5.0, 5.0),), layers=2), 10.0)
    assert theta == pytest.approx(1.0)
    _, theta = grown(flow(machines=(0,), rates=((5.0,),), layers=2), 10.0)
    assert theta == float("inf")


def test_nothing_is_found_above_what_machines_carry():
    pool, theta = grown(flow(), 1000.0)
    assert theta == float("inf")
    assert pool.best(0.0) is None


def test_the_same_seed_finds_the_same():
    data = flow(machines=(0,) * 6)
    assert grown(data, 9.0)[0].carrying(0.0) == grown(data, 9.0)[0].carrying(0.0)


@settings(max_examples=25, deadline=None)
@given(flows(wide=True))
def test_a_row_carries_at_most_what_the_whole_table_finds(data):
    exact = table(data.layers, data.rates, data.counts)
    most = float(exact.rate[data.layers, -1])
    pool, _ = grown(data, max(most, 1.0))
    found = pool.best(0.0)
    assert (found[0] if found else 0.0) <= most


def test_where_links_between_sites_are_slow_more_machines_begin_behind_them():
    # Two layers at each of two sites: 6 cross over four links of 2, not over one of two.
    pool, _ = grown(apart((0, 0, 1, 1), link=2.0, layers=2, rates=((6.0, 6.0),)), 6.0)
    found = [block for block in pool.carrying(6.0) if block.gate == 4.0]
    assert {(block.length, block.use, block.rate) for block in found} == {
        (1, (2, 0, 2), 8.0),
        (1, (0, 2, 2), 8.0),
        (2, (2, 0, 2), 8.0),
        (2, (0, 2, 2), 8.0),
    }


def test_machines_of_several_sites_make_a_block_where_each_link_carries_what_they_do():
    pool, _ = grown(apart((0, 1), link=3.0, layers=1, rates=((3.0,),)), 6.0)
    (block,) = pool.carrying(6.0)
    assert (block.site, block.use) == (ANYWHERE, (0, 0, 2))
