import math

import pytest

from apex_opt.solvers.flow_sites import ANYWHERE, MOST_SITES, by_site, only, partitions
from tests.solvers.flows import WIDE, apart, flow


def test_machines_with_wide_links_stand_at_one_site():
    sites = by_site(apart((0, 1, 0, 1), link=4.5), 5.0)
    assert sites.kinds == (0, 1, 0, 1)
    assert sites.of == (0, 1, ANYWHERE)
    assert sites.also == (2, 2, 2)
    assert sites.counts == (2, 2, 4)
    assert sites.rates == ((6.0, 5.0, 4.0), (6.0, 5.0, 4.0), (4.5, 4.5, 4.0))
    assert sites.machines == (2, 2)
    assert sites.links == ((WIDE, 4.5), (4.5, WIDE))


def test_a_wide_link_one_way_makes_no_site():
    links = ((0.0, 9.0), (1.0, 0.0))
    sites = by_site(flow(machines=(0, 0), links=links, enter=(1.0, 2.0)), 5.0)
    assert sites.links == ((math.inf, 9.0), (1.0, math.inf))
    assert sites.enter == (1.0, 2.0)
    assert sites.rates[-1] == (1.0, 1.0, 1.0)


def test_types_without_machines_are_left_out():
    sites = by_site(flow(rates=((9.0,), (6.0,)), machines=(1, 1)), 5.0)
    assert (sites.rates, sites.kinds, sites.of, sites.also) == (((6.0,),), (0, 0), (0,), (0,))


def test_where_all_links_are_slow_links_are_ignored():
    sites = by_site(apart(tuple(range(MOST_SITES + 1)), link=1.0), 5.0)
    assert sites.machines == (MOST_SITES + 1,)


def test_a_flow_fans_out_in_every_way_that_suffices():
    sites = by_site(apart((0, 0, 0, 1, 1, 1, 1), link=2.0), 10.0)
    # One link carries 2: for 10, five are needed: 3 x 2 or 2 x 3; 5 x 1 would be too many machines.
    assert [*sites.fans(0, 1, 10.0)] == [(4.0, 6.0), (6.0, 4.0)]
    assert [*sites.fans(0, 1, 2.0)] == [(2.0, 2.0)]
    assert sites.gates(0, 10.0) == [4.0, 6.0]
    assert sites.gates(0, 2.0) == []


def test_a_slow_link_from_the_source_is_a_gate():
    sites = by_site(flow(enter=(4.0, 3.0, 9.0)), 5.0)
    assert sites.gates(0, 5.0) == [3.0]


def test_without_links_nothing_crosses():
    sites = by_site(apart((0, 1), link=0.0), 5.0)
    assert [*sites.fans(0, 1, 1.0)] == []


@pytest.mark.parametrize(("count", "ways"), [(1, 1), (2, 2), (3, 5), (4, 15), (5, 52)])
def test_sites_are_parted_in_every_way(count, ways):
    found = [*partitions(count)]
    assert len({frozenset(groups) for groups in found}) == len(found) == ways
    assert all(sorted(sum(groups, ())) == [*range(count)] for groups in found)


def test_a_part_of_the_machines_keeps_its_links():
    links = ((0.0, 1.0, 2.0), (3.0, 0.0, 4.0), (5.0, 6.0, 0.0))
    part = only(flow(links=links, enter=(7.0, 8.0, 9.0)), [0, 2])
    assert (part.links, part.enter) == (((0.0, 2.0), (5.0, 0.0)), (7.0, 9.0))
