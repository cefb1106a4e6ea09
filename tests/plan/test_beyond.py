from hypothesis import given, reject, settings
from hypothesis import strategies as st

from apex_opt.plan.awake import PARTS
from apex_opt.plan.beyond import beyond
from apex_opt.plan.features import FEATURES
from apex_opt.plan.optimistic import optimistic, rows_of, values
from apex_opt.plan.peak import step_w
from apex_opt.plan.step_floors import may_preempt
from apex_opt.plan.tangents import Line
from apex_opt.sim.replica import EndlessRunError, play
from tests.plan.test_optimistic import (
    ENGINES,
    RELEASES,
    SENT,
    SHAPES,
    UNLIKE,
    candidate,
    load,
    seen,
    taken,
)
from tests.sim.cases import loads

STEADY = {
    "max_num_seqs": 8,
    "max_num_batched_tokens": 256,
    "block_size": 16,
    "async_scheduling": False,
    "graph_tokens": 4,
    "chunked_prefill": True,
    "prefix_caching": False,
    "drafts": None,
}


@settings(max_examples=300, deadline=None)
@given(
    name=st.sampled_from(sorted(SHAPES | UNLIKE)),
    engine=ENGINES,
    spare=st.sampled_from([0, 1, 8, 4000]),
    release=st.sampled_from(RELEASES),
    requests=SENT | loads(),
    part=st.sampled_from(PARTS),
)
def test_no_simulation_draws_less_than_its_time_at_some_power_and_what_is_beyond(
    name, engine, spare, release, requests, part
):
    c = candidate(name, engine, spare, release)
    requests = taken(requests, c)
    traffic = seen(requests, c)
    watts, bounds = part * step_w(c), optimistic(c, traffic)
    try:
        log = play(requests, c.rules, c.steps)
    except EndlessRunError:
        reject()  # two cohorts of a pipeline preempt each other for ever
    more = values(rows_of(beyond(c, watts), bounds.steps), traffic.totals)
    assert (more >= 0).all()
    drawn = watts * log.totals.busy_ns / 1e9 + more.max()
    assert drawn <= log.totals.energy_j * (1 + 1e-9)


def test_where_steps_take_time_of_their_own_nothing_is_told():
    hearing = candidate("heard", STEADY, 8, RELEASES[0])
    assert step_w(hearing) == 0.0
    floor = beyond(hearing, 0.0)
    assert floor.lines == (Line(0.0, 0.0),)
    assert not any(floor.each)


def test_the_greater_the_power_the_less_is_beyond_it():
    c = candidate("dense", STEADY, 4000, RELEASES[2])
    traffic = seen(load([0], [(60, 60)], 0), c)
    steps = optimistic(c, traffic).steps
    more = [
        values(rows_of(beyond(c, part * step_w(c)), steps), traffic.totals).max()
        for part in sorted(PARTS)
    ]
    assert more == sorted(more, reverse=True)
    assert more[-1] < more[0] / 2


def test_who_may_be_preempted_counts_as_reading_only_where_tokens_are_worth_more():
    c = candidate("dense", STEADY, 0, RELEASES[2])
    assert may_preempt(c.rules)
    context = FEATURES.index("context")
    half, whole = (beyond(c, part * step_w(c)) for part in (0.5, 1.0))
    for floor in (half, whole):
        read = floor.each[context]
        assert all(line.slope >= 2 * read for line in floor.lines)
    assert half.each[context] > 0
