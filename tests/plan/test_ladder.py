import numpy as np
import pytest

from apex_opt.errors import CallError
from apex_opt.plan.ladder import at_once, clients, rates
from apex_opt.sim.load import Load
from apex_opt.trace.traffic import Traffic

S = 1_000_000_000


def offered(*at_s, **more):
    n = len(at_s)
    load = Load(
        (np.array(at_s) * S).astype(np.int64),
        np.full(n, 100, np.int64),
        np.full(n, 10, np.int64),
        **more,
    )
    span = at_s[-1] - at_s[0]
    return Traffic(load, "", (n - 1) / span if span else None)


def test_a_rate_divides_all_times_by_the_same_number():
    ladder = rates(offered(0.0, 1.0, 3.0), 64.0, 0.01)
    assert ladder.own == pytest.approx(2 / 3)
    assert ladder.at(4 / 3).arrival_ns.tolist() == [0, 0.5 * S, 1.5 * S]
    assert ladder.at(ladder.own).arrival_ns.tolist() == [0, 1 * S, 3 * S]


def test_rates_begin_far_below_what_is_worked_off_and_end_as_far_above():
    ladder = rates(offered(0.0, 1.0), 64.0, 0.01)
    assert ladder.grid[0] == 1.0
    assert ladder.grid[-1] >= 64.0**2 > ladder.grid[-2]
    assert np.allclose(np.diff(np.log(ladder.grid)), np.log(1.5))


def test_where_nothing_is_worked_off_rates_begin_below_that_of_the_traffic():
    assert rates(offered(0.0, 1.0), 0.0, 0.01).grid[0] == 1 / 64


def test_rates_are_near_enough_within_the_tolerance():
    between = rates(offered(0.0, 1.0), 1.0, 0.1).between
    assert between(1.0, 1.1) is None
    assert between(1.0, 1.21) == pytest.approx(1.1)


def test_requests_that_all_come_at_once_have_no_rate():
    with pytest.raises(CallError) as caught:
        rates(offered(0.0, 0.0), 1.0, 0.1)
    assert str(caught.value) == ("workload: all requests come at once: there is no rate to change")


def test_clients_are_whole_and_as_many_as_requests_at_most():
    ladder = clients(offered(*[0.0] * 12, concurrency=3), 0.01)
    assert (ladder.own, ladder.grid) == (3.0, (1.0, 2.0, 3.0, 5.0, 8.0, 12.0))
    assert ladder.at(5.0).concurrency == 5
    assert ladder.between(8.0, 12.0) == 10.0
    assert ladder.between(8.0, 9.0) is None


def test_a_client_plays_whole_sessions():
    after = np.array([-1, 0, -1, 2])
    load = offered(0.0, 0.0, 0.0, 0.0, concurrency=1, after=after, think_ns=np.zeros(4, np.int64))
    assert clients(load, 0.01).grid == (1.0, 2.0)


def test_at_once_leaves_everything_but_time():
    load = offered(0.0, 2.0).load
    assert at_once(load).arrival_ns.tolist() == [0, 0]
    assert at_once(load).prompt_tokens is load.prompt_tokens
