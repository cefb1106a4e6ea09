import pytest
from hypothesis import given, settings

from apex_opt.solvers.flow_pool import Pool
from apex_opt.solvers.flow_table import table
from tests.solvers.flows import flow, flows


def grown(data, rate):
    pool = Pool(data.layers, data.rates, data.counts)
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
    counted = [n for n in data.counts if n]
    rates = [row for row, n in zip(data.rates, data.counts, strict=True) if n]
    pool = Pool(data.layers, rates, counted)
    pool.grow(max(most, 1.0), 6)
    found = pool.best(0.0)
    assert (found[0] if found else 0.0) <= most
