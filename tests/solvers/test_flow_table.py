from hypothesis import given, settings

from apex_opt.solvers.flow_table import splits, table, work
from apex_opt.solvers.flow_verify import throughput
from tests.solvers.flows import flow, flows, placements


def best(data):
    found = table(data.layers, data.rates, data.counts)
    return found, found.rate.shape[1] - 1


def test_two_chains_side_by_side_carry_the_sum():
    found, everything = best(flow(machines=(0,) * 4))
    assert found.rate[4, everything] == 10.0
    assert sorted(found.parts(4, everything)) == [(0, 0, 2), (0, 0, 2), (0, 2, 4), (0, 2, 4)]


def test_machines_that_carry_nothing_are_left_out():
    found, everything = best(flow(layers=2, rates=((6.0,), (0.0,)), machines=(0, 1, 0)))
    assert found.rate[2, everything] == 6.0
    assert sorted(found.parts(2, everything)) == [(0, 0, 1), (0, 1, 2)]


def test_too_few_machines_make_no_network():
    found, everything = best(flow(machines=(0,)))
    assert found.rate[4, everything] == 0.0
    assert [*found.parts(4, everything)] == []


def test_the_work_counts_the_ways_to_split_uses_and_lengths():
    # Of (2, 1): (1 + 2 + 3) (1 + 2) ways; 4 layers: 4 sums and 4 minima, pairs (1, 1) to (2, 2).
    assert splits((2, 1)) == 18
    assert work(4, (2, 1)) == 18 * 8


@settings(max_examples=40, deadline=None)
@given(flows(wide=True))
def test_with_three_machines_and_wide_links_no_placement_is_better(data):
    # Networks of three machines are always in series and in parallel.
    found, everything = best(data)
    most = max(throughput(data, placement) for placement in placements(data))
    assert found.rate[data.layers, everything] == float(most)
